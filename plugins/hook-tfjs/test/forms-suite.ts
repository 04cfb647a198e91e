import type { MeasurementInput, RunEvent } from "@noisescale/protocol";
import * as tf from "@tensorflow/tfjs-core";
import * as layers from "@tensorflow/tfjs-layers";
import { beforeAll, describe, expect, it } from "vitest";
import { seededUniform } from "../../../packages/statistics/test/simulated-run.ts";
import { type WatchOptions, watch, watchLoop } from "../src/index.ts";
import { Float64Network, type LabelledExample, quadraticForm } from "./float64-network.ts";
import {
  convolutionModel,
  denseModel,
  examples,
  largestDifference,
  unpenalisedModel,
  weightsOf,
} from "./training-cases.ts";

const quietly = { shuffle: false, verbose: 0 } as const;

function collect() {
  const measurements: MeasurementInput[] = [];
  const events: RunEvent[] = [];
  const sink = {
    record: (measurement: MeasurementInput) => void measurements.push(measurement),
    event: (event: RunEvent) => void events.push(event),
  };
  return { measurements, events, sink };
}

/** What holds of gᵀHg and gᵀPg on every back end. `prepare` selects it. */
export function describeForms(backend: string, prepare: () => Promise<void>): void {
  describe(`other quadratic forms on ${backend}`, () => {
    beforeAll(async () => {
      await prepare();
      expect(tf.getBackend()).toBe(backend);
    });

    async function train(model: layers.LayersModel, options: WatchOptions, count = 64, shape = [12]) {
      const { x, y } = tf.tidy(() => examples(count, shape));
      const collected = collect();
      const watcher = watch(model, { sink: collected.sink, every: 1, ...options });
      await model.fit(x, y, { ...quietly, batchSize: 16 });
      await watcher.close();
      tf.dispose([x, y]);
      return collected;
    }

    it.each([4, 3])(
      "measure gᵀHg as an explicit Hessian of the batch before gives it, with %i parts",
      async (parts) => {
        const { network, model, data, x, y } = smallNetwork();
        const { sink, measurements } = collect();
        const watcher = watch(model, { sink, every: 1, hessianEvery: 1, parts });
        await model.fit(x, y, { ...quietly, batchSize: 10 });
        await watcher.close();

        const weights = await weightsOf(model);
        expect(measurements.map(({ hessian }) => hessian !== undefined)).toEqual([false, true, true, true]);
        for (const [index, { hessian }] of measurements.entries()) {
          if (hessian === undefined) continue;
          const batch = data.slice(10 * index, 10 * index + 10);
          const before = network.hessian(weights, data.slice(10 * index - 10, 10 * index));
          // Ten examples in four parts are 3, 3, 2, 2, in three parts 4, 3, 3: halves of 6 and 4, or of 7 and 3.
          const first = parts === 4 ? 6 : 7;
          const shares = [first / 10, 1 - first / 10];
          const halves = [batch.slice(0, first), batch.slice(first)].map((half) => network.gradient(weights, half));
          const whole = network.gradient(weights, batch);
          const sumOfSquaredShares = shares.reduce((sum, share) => sum + share ** 2, 0);
          const small =
            halves.reduce((sum, half, k) => sum + (shares[k] ?? 0) ** 2 * quadraticForm(before, half), 0) /
            sumOfSquaredShares;
          const big = quadraticForm(before, whole);
          // Differences of float32 gradients, by a move of 1e-3 of the weights: 1e-3 in all.
          expect(Math.abs(hessian.small.value / small - 1)).toBeLessThan(1e-3);
          expect(Math.abs(hessian.big.value / big - 1)).toBeLessThan(1e-3);
          expect(hessian.small.batch_size).toBeCloseTo(10 * sumOfSquaredShares, 10);
          expect(hessian.big.batch_size).toBe(10);
          if (index > 1) continue;
          // With the batch's own Hessian it would be another number.
          const own = quadraticForm(network.hessian(weights, batch), whole);
          expect(Math.abs(own / big - 1)).toBeGreaterThan(0.02);
        }
      },
    );

    it("average to GᵀHG and tr(HΣ) of the explicit H, G and Σ over random batches", async () => {
      const { network, model, data, x, y } = smallNetwork();
      const { sink, measurements } = collect();
      const watcher = watch(model, { sink, every: 1, hessianEvery: 1 });
      const uniform = seededUniform(1);
      const steps = 64;
      for (let step = 0; step < steps; step++) {
        const rows = tf.tensor1d(
          Array.from({ length: 8 }, () => Math.floor(uniform() * data.length)),
          "int32",
        );
        const batch = [tf.gather(x, rows), tf.gather(y, rows)] as const;
        await model.trainOnBatch(...batch);
        tf.dispose([rows, ...batch]);
      }
      await watcher.close();

      const weights = await weightsOf(model);
      const hessian = network.hessian(weights, data);
      const signal = quadraticForm(hessian, network.gradient(weights, data));
      const squares = data.map((one) => quadraticForm(hessian, network.gradient(weights, [one])));
      const trace = squares.reduce((sum, square) => sum + square / data.length, 0) - signal;
      const pairs = measurements.flatMap((measurement) => measurement.hessian ?? []);
      expect(pairs).toHaveLength(steps - 1);
      // b = 4, B = 8: McCandlish et al. 2018, appendix A.1, for this form.
      const traces = pairs.map(({ small, big }) => (small.value - big.value) / (1 / 4 - 1 / 8));
      const signals = pairs.map(({ small, big }) => (8 * big.value - 4 * small.value) / 4);
      for (const [values, truth] of [
        [traces, trace],
        [signals, signal],
      ] as const) {
        const mean = values.reduce((sum, value) => sum + value / values.length, 0);
        const variance = values.reduce((sum, value) => sum + (value - mean) ** 2 / (values.length - 1), 0);
        const standardError = Math.sqrt(variance / values.length);
        // Three, since a batch serves two measurements, as H and as gradients, so that neighbours lean on each other.
        expect(Math.abs(mean - truth)).toBeLessThan(3 * standardError);
      }
    });

    const adaptive: [string, () => tf.Optimizer, (v: number) => number][] = [
      ["Adam", () => tf.train.adam(0.01), (v) => Math.sqrt(v / (1 - 0.999 ** 3)) + 1e-7],
      ["Adamax", () => tf.train.adamax(0.01), (u) => u + 1e-7],
      ["RMSProp", () => tf.train.rmsprop(0.01), (square) => Math.sqrt(square + 1e-7)],
      ["Adagrad", () => tf.train.adagrad(0.05), (sum) => Math.sqrt(sum + 1e-7)],
    ];
    it.each(adaptive)("measure gᵀPg with %s's second moments from before the step", async (_, make, size) => {
      const { x, y } = examples(64);
      const hooked = unpenalisedModel({ optimizer: make() });
      const { sink, measurements } = collect();
      const watcher = watch(hooked, { sink, every: 1, preconditioned: true });
      await hooked.fit(x, y, { ...quietly, batchSize: 16 });
      await watcher.close();
      expect(measurements.map(({ preconditioned }) => preconditioned !== undefined)).toEqual([false, true, true, true]);

      // The same training without the hook up to the last step, then the parts' gradients by brute force.
      const model = unpenalisedModel({ optimizer: make() });
      await model.fit(tf.slice(x, 0, 48), tf.slice(y, 0, 48), { ...quietly, batchSize: 16 });
      const metric = await secondMoments(model.optimizer);
      const variables = model.trainableWeights.map((weight) => weight.read() as tf.Variable);
      const formOf = async (begin: number, count: number) => {
        const { grads } = tf.variableGrads(() => {
          const predicted = model.apply(tf.slice(x, begin, count), { training: true }) as tf.Tensor;
          return tf.neg(tf.mean(tf.sum(tf.mul(tf.slice(y, begin, count), tf.log(predicted)), -1)));
        }, variables);
        let value = 0;
        for (const { name } of variables) {
          const gradient = await (grads[name] as tf.Tensor).data();
          gradient.forEach((g, i) => {
            value += g ** 2 / size(metric.get(name)?.[i] ?? Number.NaN);
          });
        }
        return value;
      };
      const parts = await Promise.all([0, 4, 8, 12].map((begin) => formOf(48 + begin, 4)));
      const small = parts.reduce((sum, value) => sum + value / 4, 0);
      const measured = measurements.at(-1)?.preconditioned;
      // float32: the second moments and the gradients agree to about 1e-5 each.
      expect(Math.abs((measured?.small.value ?? 0) / small - 1)).toBeLessThan(1e-3);
      expect(Math.abs((measured?.big.value ?? 0) / (await formOf(48, 16)) - 1)).toBeLessThan(1e-3);
      expect(measured).toMatchObject({ small: { batch_size: 4 }, big: { batch_size: 16 } });
    });

    it.each<[string, () => layers.LayersModel, number[]]>([
      ["dense layers with a penalty and Adam", () => denseModel({ optimizer: tf.train.adam(1e-3) }), [12]],
      ["dense layers that could be tapped", () => unpenalisedModel(), [12]],
      ["convolutions and RMSProp", () => convolutionModel({ optimizer: tf.train.rmsprop(1e-3) }), [6, 6, 2]],
    ])("leave the weights of %s as plain training leaves them", async (_, make, shape) => {
      const [plain, hooked] = [make(), make()];
      const { x, y } = examples(160, shape);
      await plain.fit(x, y, { ...quietly, batchSize: 16, epochs: 2 });
      const { sink, measurements } = collect();
      const watcher = watch(hooked, { sink, every: 1, hessianEvery: 2, preconditioned: true });
      await hooked.fit(x, y, { ...quietly, batchSize: 16, epochs: 2 });
      await watcher.close();
      expect(measurements.filter(({ hessian }) => hessian !== undefined)).toHaveLength(9);
      // float32 rounding of 20 updates, as without the forms.
      expect(largestDifference(await weightsOf(plain), await weightsOf(hooked))).toBeLessThan(1e-6);
    });

    it("give the weights back bit by bit: where the whole batch trains, not one differs", async () => {
      const make = () => {
        const model = layers.sequential({
          layers: [
            layers.layers.dense({ units: 8, inputShape: [12], kernelInitializer: layers.initializers.ones() }),
            layers.layers.batchNormalization(),
            layers.layers.dense({ units: 4, activation: "softmax", kernelInitializer: layers.initializers.ones() }),
          ],
        });
        model.compile({ optimizer: tf.train.adam(0.01), loss: "categoricalCrossentropy" });
        return model;
      };
      const [plain, hooked] = [make(), make()];
      const { x, y } = examples(96);
      await plain.fit(x, y, { ...quietly, batchSize: 16 });
      const { sink, measurements } = collect();
      const watcher = watch(hooked, { sink, every: 1, hessianEvery: 1, preconditioned: true });
      await hooked.fit(x, y, { ...quietly, batchSize: 16 });
      await watcher.close();
      expect(measurements.filter(({ hessian }) => hessian !== undefined)).toHaveLength(5);
      expect(largestDifference(await weightsOf(plain), await weightsOf(hooked))).toBe(0);
    });

    it("are measured in a loop of one's own, and leave it as it is", async () => {
      const { x, y } = examples(63);
      const batches = [0, 1, 2].map((k) => ({ x: tf.slice(x, 21 * k, 21), y: tf.slice(y, 21 * k, 21) }));
      const run = async (watcher: ReturnType<typeof watchLoop> | undefined) => {
        const weight = tf.variable(tf.zeros([12, 4]));
        const optimizer = tf.train.adam(0.1);
        const loss = (batch: { x: tf.Tensor; y: tf.Tensor }) =>
          tf.losses.softmaxCrossEntropy(batch.y, tf.matMul(batch.x as tf.Tensor2D, weight as tf.Tensor2D)) as tf.Scalar;
        for (let step = 0; step < 12; step++) {
          const batch = batches[step % 3] as { x: tf.Tensor; y: tf.Tensor };
          if (watcher === undefined) optimizer.minimize(() => loss(batch), false, [weight]);
          else watcher.minimize(optimizer, loss, batch, [weight]).dispose();
        }
        return [...(await weight.data())];
      };
      const { sink, measurements } = collect();
      const watcher = watchLoop({ sink, every: 2, hessianEvery: 4, preconditioned: true });
      const difference = largestDifference(await run(undefined), await run(watcher));
      await watcher.close();
      expect(measurements.map(({ hessian }) => hessian !== undefined)).toEqual([
        false,
        false,
        true,
        false,
        true,
        false,
      ]);
      expect(measurements.filter(({ preconditioned }) => preconditioned !== undefined)).toHaveLength(5);
      // Logistic regression is convex.
      for (const { hessian } of measurements) expect(hessian?.big.value ?? 1).toBeGreaterThan(0);
      expect(difference).toBeLessThan(1e-6);
    });

    it("leak no tensor, also where a batch is held when the training ends", async () => {
      const model = denseModel({ optimizer: tf.train.adam(1e-3) });
      const tapped = convolutionModel();
      const everything = async () => {
        await train(model, { hessianEvery: 2, preconditioned: true }, 48);
        await train(tapped, { hessianEvery: 1 }, 48, [6, 6, 2]);
      };
      await everything();
      const { numTensors } = tf.memory();
      await everything();
      expect(tf.memory().numTensors).toBe(numTensors);
    });

    it("are not measured with the Hessian of the measured batch itself, in whatever order its rows come", async () => {
      const { x, y } = examples(32);
      const model = unpenalisedModel();
      const { sink, measurements, events } = collect();
      const watcher = watch(model, { sink, every: 1, hessianEvery: 1 });
      await model.fit(x, y, { verbose: 0, shuffle: true, batchSize: 32, epochs: 4 });
      await watcher.close();
      expect(measurements).toHaveLength(4);
      expect(measurements.some(({ hessian }) => hessian !== undefined)).toBe(false);
      expect(events.filter(({ code }) => code === "hessian-same-batch")).toHaveLength(3);
    });

    it("are not measured where the loss draws anew each time, which is said once", async () => {
      const model = layers.sequential({
        layers: [
          layers.layers.dense({ units: 16, inputShape: [12] }),
          layers.layers.dropout({ rate: 0.5 }),
          layers.layers.dense({ units: 4, activation: "softmax" }),
        ],
      });
      model.compile({ optimizer: tf.train.sgd(0.1), loss: "categoricalCrossentropy" });
      const { measurements, events } = await train(model, { hessianEvery: 1 });
      expect(measurements).toHaveLength(4);
      expect(measurements.some(({ hessian }) => hessian !== undefined)).toBe(false);
      const said = events.filter(({ code }) => code === "hessian-not-repeatable");
      expect(said.map(({ kind }) => kind)).toEqual(["unavailable"]);
    });

    it("say once that plain SGD has no second moments", async () => {
      const { measurements, events } = await train(unpenalisedModel(), { preconditioned: true });
      expect(measurements).toHaveLength(4);
      expect(events.filter(({ kind }) => kind === "unavailable").map(({ code }) => code)).toEqual([
        "no-second-moments",
      ]);
    });

    it("cost a failing loss nothing but the Hessian", async () => {
      const { x, y } = examples(64);
      let calls = 0;
      const touchy = (truth: tf.Tensor, predicted: tf.Tensor) => {
        calls += 1;
        // The first step runs four parts and the whole batch; the next one four parts, then the held batch.
        if (calls === 10) throw new Error("not now");
        return layers.metrics.categoricalCrossentropy(truth, predicted);
      };
      const model = unpenalisedModel({ loss: touchy, metrics: [] });
      const plain = unpenalisedModel({ metrics: [] });
      const { sink, measurements, events } = collect();
      const watcher = watch(model, { sink, every: 1, hessianEvery: 1 });
      await model.fit(x, y, { ...quietly, batchSize: 16 });
      await plain.fit(x, y, { ...quietly, batchSize: 16 });
      await watcher.close();
      expect(measurements.map(({ hessian }) => hessian !== undefined)).toEqual([false, false, true, true]);
      expect(events.map(({ kind, code }) => [kind, code])).toContainEqual(["dropped", "hessian-failed"]);
      expect(largestDifference(await weightsOf(plain), await weightsOf(model))).toBeLessThan(1e-6);
    });

    it("name the option that is wrong", () => {
      expect(() => watch(denseModel(), { sink: () => undefined, every: 10, hessianEvery: 15 })).toThrow(
        "hessianEvery: must be a multiple of every (10), got 15",
      );
    });
  });
}

/** Second moments by name of the trained variable, from whichever field the optimizer keeps them in. */
async function secondMoments(optimizer: tf.Optimizer): Promise<ReadonlyMap<string, Float32Array>> {
  const found = new Map<string, Float32Array>();
  for (const slots of Object.values(optimizer) as unknown[]) {
    if (!Array.isArray(slots)) continue;
    for (const { originalName, variable } of slots as { originalName: string; variable: tf.Variable }[]) {
      if (!/\/(v|rms|accumulator)$/.test(originalName)) continue;
      found.set(originalName.replace(/\/[^/]*$/, ""), (await variable.data()) as Float32Array);
    }
  }
  return found;
}

/** 3 inputs, 4 hidden, 3 classes, 40 examples: small enough for an explicit Hessian. It does not move (rate 0). */
function smallNetwork() {
  const network = new Float64Network(3, 4, 3);
  const model = layers.sequential({
    layers: [
      layers.layers.dense({
        units: 4,
        activation: "tanh",
        inputShape: [3],
        kernelInitializer: layers.initializers.glorotUniform({ seed: 7 }),
        biasInitializer: layers.initializers.randomNormal({ stddev: 0.3, seed: 8 }),
      }),
      layers.layers.dense({
        units: 3,
        activation: "softmax",
        kernelInitializer: layers.initializers.glorotUniform({ seed: 9 }),
      }),
    ],
  });
  model.compile({ optimizer: tf.train.sgd(0), loss: "categoricalCrossentropy" });
  const data: LabelledExample[] = Array.from({ length: 40 }, (_, i) => ({
    x: [Math.sin(i * 1.3), Math.cos(i * 2.1) + 0.5, Math.sin(i * i)],
    label: (i * i + (i % 4)) % 3,
  }));
  const x = tf.tensor2d(data.map((one) => [...one.x]));
  const y = tf.cast(
    tf.oneHot(
      tf.tensor1d(
        data.map(({ label }) => label),
        "int32",
      ),
      3,
    ),
    "float32",
  );
  return { network, model, data, x, y };
}
