import type { MeasurementInput, RunEvent } from "@noisescale/protocol";
import * as tf from "@tensorflow/tfjs-core";
import * as layers from "@tensorflow/tfjs-layers";
import { beforeAll, describe, expect, it } from "vitest";
import { type Watcher, watch, watchLoop } from "../src/index.ts";
import {
  convolutionModel,
  denseModel,
  examples,
  largestDifference,
  squaredNormOf,
  unpenalisedModel,
  weightsOf,
} from "./training-cases.ts";

/** Everything that was handed to a sink. */
function collect() {
  const measurements: MeasurementInput[] = [];
  const events: RunEvent[] = [];
  const sink = {
    record: (measurement: MeasurementInput) => void measurements.push(measurement),
    event: (event: RunEvent) => void events.push(event),
  };
  return { measurements, events, sink };
}

const quietly = { shuffle: false, verbose: 0 } as const;

/** What holds on every back end. `prepare` selects it. */
export function describeHook(backend: string, prepare: () => Promise<void>): void {
  describe(`the hook on ${backend}`, () => {
    beforeAll(async () => {
      await prepare();
      expect(tf.getBackend()).toBe(backend);
    });

    async function compare(
      make: () => layers.LayersModel,
      train: (model: layers.LayersModel) => Promise<unknown>,
      options: { parts?: number; every?: number } = {},
    ) {
      const plain = make();
      const hooked = make();
      const collected = collect();
      await train(plain);
      const watcher = watch(hooked, { sink: collected.sink, every: 1, ...options });
      await train(hooked);
      await watcher.flush();
      watcher.detach();
      const difference = largestDifference(await weightsOf(plain), await weightsOf(hooked));
      return { difference, watcher, hooked, plain, ...collected };
    }

    // float32 rounding of one update of size ~0.1 is 1e-8; 20 of them stay well below 1e-6.
    const rounding = 1e-6;

    it("leaves the weights of model.fit as plain training leaves them, with an uneven last part and an l2 penalty", async () => {
      const { x, y } = examples(210);
      const { difference, measurements } = await compare(denseModel, (model) =>
        model.fit(x, y, { ...quietly, batchSize: 22, epochs: 2 }),
      );
      expect(measurements).toHaveLength(20);
      expect(difference).toBeLessThan(rounding);
    });

    it("leaves the weights alone with class weights", async () => {
      const { x, y } = examples(200);
      const classWeight = { 0: 1, 1: 3, 2: 0.25, 3: 2 };
      const { difference, measurements } = await compare(denseModel, (model) =>
        model.fit(x, y, { ...quietly, batchSize: 20, epochs: 2, classWeight }),
      );
      expect(measurements).toHaveLength(20);
      expect(difference).toBeLessThan(rounding);
    });

    it("leaves the weights of a convolution alone", async () => {
      const { x, y } = examples(80, [6, 6, 2]);
      const { difference, measurements } = await compare(convolutionModel, (model) =>
        model.fit(x, y, { ...quietly, batchSize: 16, epochs: 4 }),
      );
      expect(measurements).toHaveLength(20);
      expect(difference).toBeLessThan(rounding);
    });

    it("leaves the weights of trainOnBatch alone, with Adam", async () => {
      const { x, y } = examples(24);
      const { difference, measurements } = await compare(
        () => denseModel({ optimizer: tf.train.adam(1e-3) }),
        async (model) => {
          for (let step = 0; step < 20; step++) await model.trainOnBatch(x, y);
        },
      );
      expect(measurements).toHaveLength(20);
      expect(difference).toBeLessThan(rounding);
    });

    it("reports the loss and the metrics that plain training reports", async () => {
      const { x, y } = examples(90);
      const fit = (model: layers.LayersModel) => model.fit(x, y, { ...quietly, batchSize: 30, epochs: 2 });
      const plain = await fit(denseModel());
      const hooked = denseModel();
      const watcher = watch(hooked, { sink: () => undefined, every: 1 });
      const history = await fit(hooked);
      watcher.detach();
      for (const metric of ["loss", "acc"]) {
        const expected = plain.history[metric] ?? [];
        expect(expected).toHaveLength(2);
        expected.forEach((value, epoch) => {
          expect(history.history[metric]?.[epoch]).toBeCloseTo(Number(value), 5);
        });
      }
    });

    it.each([
      { kind: "dense layers with a penalty", make: denseModel, shape: [12], penalty: 0.01, count: 2 },
      { kind: "dense layers", make: unpenalisedModel, shape: [12], penalty: 0, count: 2 },
      { kind: "convolutions", make: convolutionModel, shape: [6, 6, 2], penalty: 0, count: 3 },
    ])("measures what per-part gradients give by brute force: $kind", async ({ make, shape, penalty, count }) => {
      const { x, y } = examples(27, shape);
      const model = make({ optimizer: tf.train.sgd(0) });
      const collected = collect();
      const watcher = watch(model, { sink: collected.sink, every: 1, parts: 4, layers: true });
      await model.fit(x, y, { ...quietly, batchSize: 27, epochs: 3 });
      await watcher.close();

      const variables = model.trainableWeights.map((weight) => weight.read() as tf.Variable);
      const penalised = variables[0] as tf.Variable;
      const gradientOf = (begin: number, size: number) =>
        tf.variableGrads(() => {
          const predicted = model.apply(tf.slice(x, begin, size), { training: true }) as tf.Tensor;
          const loss = tf.neg(tf.mean(tf.sum(tf.mul(tf.slice(y, begin, size), tf.log(predicted)), -1)));
          return tf.add<tf.Scalar>(loss, tf.mul(penalty, tf.sum(tf.square(penalised))));
        }, variables).grads;
      const sizes = [7, 7, 7, 6];
      const squares = await Promise.all(
        sizes.map((size, part) =>
          squaredNormOf(
            gradientOf(
              sizes.slice(0, part).reduce((a, b) => a + b, 0),
              size,
            ),
          ),
        ),
      );
      const weights = sizes.map((size) => (size / 27) ** 2);
      const sumOfWeights = weights.reduce((a, b) => a + b, 0);
      const small = squares.reduce((sum, square, part) => sum + square * (weights[part] ?? 0), 0) / sumOfWeights;
      const big = await squaredNormOf(gradientOf(0, 27));

      // float32 gradients: relative 1e-4. The first step runs in parts, the later ones as the model allows.
      expect(collected.measurements).toHaveLength(3);
      for (const measured of collected.measurements) {
        expect(Math.abs(measured.small.squared_norm / small - 1)).toBeLessThan(1e-4);
        expect(Math.abs(measured.big.squared_norm / big - 1)).toBeLessThan(1e-4);
        expect(measured.small.batch_size).toBeCloseTo(27 * sumOfWeights, 10);
        expect(measured.big.batch_size).toBe(27);
        const byLayer = Object.values(measured.layers ?? {});
        expect(byLayer).toHaveLength(count);
        expect(byLayer.reduce((sum, [square]) => sum + square, 0)).toBeCloseTo(measured.small.squared_norm, 10);
        expect(byLayer.reduce((sum, [, square]) => sum + square, 0)).toBeCloseTo(measured.big.squared_norm, 10);
      }
    });

    it("takes one pass over the whole batch where the layers can be tapped, and gives the layers back", async () => {
      const { x, y } = examples(32);
      const rows: (number | undefined)[] = [];
      const counted = (truth: tf.Tensor, predicted: tf.Tensor) => {
        rows.push(predicted.shape[0]);
        return layers.metrics.categoricalCrossentropy(truth, predicted);
      };
      const { difference, hooked, measurements } = await compare(
        () => unpenalisedModel({ loss: counted, metrics: [] }),
        async (model) => {
          rows.length = 0;
          await model.fit(x, y, { ...quietly, batchSize: 32, epochs: 3 });
        },
      );
      expect(measurements).toHaveLength(3);
      expect(rows).toEqual([8, 8, 8, 8, 32, 32, 32]);
      expect(hooked.layers.some((layer) => Object.hasOwn(layer, "call"))).toBe(false);
      expect(difference).toBeLessThan(rounding);
    });

    it("sends the loss before the update, the learning rate, the units and the step", async () => {
      const { x, y } = examples(40);
      const model = denseModel();
      const before = (model.evaluate(x, y) as tf.Scalar[])[0] as tf.Scalar;
      const penalty = tf.mul(0.01, tf.sum(tf.square(model.getWeights()[0] as tf.Tensor)));
      const expected = (await tf.add(before, penalty).data())[0] as number;
      const { sink, measurements } = collect();
      const watcher = watch(model, { sink, every: 2, firstStep: 6 });
      await model.fit(x, y, { ...quietly, batchSize: 40, epochs: 3 });
      await watcher.close();
      expect(measurements.map((measurement) => measurement.step)).toEqual([6, 8]);
      expect(measurements[0]).toMatchObject({ units: 40, learning_rate: expect.closeTo(0.2, 7) });
      expect(measurements[0]?.loss).toBeCloseTo(expected, 5);
    });

    it("leaks no tensor in fit, fitDataset, trainOnBatch or a loop", async () => {
      const { x, y } = examples(32);
      const model = denseModel();
      const tapped = convolutionModel();
      const pictures = examples(32, [6, 6, 2]);
      const optimizer = tf.train.sgd(0.1);
      const weight = tf.variable(tf.zeros([12, 4]));
      const dataset = batchesOf(x, y, 16);
      const watcher = watch(model, { sink: () => undefined, every: 1, layers: true });
      const tappedWatcher = watch(tapped, { sink: () => undefined, every: 1 });
      const loop = watchLoop({ sink: () => undefined, every: 1 });
      const everything = async () => {
        await tapped.fit(pictures.x, pictures.y, { ...quietly, batchSize: 18 });
        await model.fit(x, y, { ...quietly, batchSize: 16 });
        await model.fitDataset(dataset, { epochs: 1, verbose: 0 });
        await model.trainOnBatch(x, y);
        loop.minimize(optimizer, (batch) => softmaxLoss(weight, batch), { x, y }, [weight]).dispose();
        await Promise.all([watcher.flush(), tappedWatcher.flush(), loop.flush()]);
      };
      await everything();
      const { numTensors } = tf.memory();
      await everything();
      await everything();
      expect(tf.memory().numTensors).toBe(numTensors);
      expect(watcher.measurements).toBe(15);
      expect(tappedWatcher.measurements).toBe(6);
      expect(loop.measurements).toBe(3);
      tappedWatcher.detach();
      watcher.detach();
    });

    it("measures a batch size that changes from step to step as it is", async () => {
      const { x, y } = examples(64);
      const sizes = [16, 32, 64, 27, 16];
      const train = async (model: layers.LayersModel) => {
        for (const size of sizes) await model.trainOnBatch(tf.slice(x, 0, size), tf.slice(y, 0, size));
      };
      const alone = async (size: number, step: number) => {
        // The same weights as before that step, measured by a watcher that has seen no other batch size.
        const model = unpenalisedModel();
        for (const before of sizes.slice(0, step)) {
          await model.trainOnBatch(tf.slice(x, 0, before), tf.slice(y, 0, before));
        }
        const { sink, measurements } = collect();
        const watcher = watch(model, { sink, every: 1 });
        await model.trainOnBatch(tf.slice(x, 0, size), tf.slice(y, 0, size));
        await watcher.close();
        return measurements[0];
      };
      const { difference, measurements } = await compare(unpenalisedModel, train);
      expect(difference).toBeLessThan(rounding);
      expect(measurements.map(({ big, units }) => [big.batch_size, units])).toEqual(sizes.map((size) => [size, size]));
      expect(measurements.map(({ small }) => small.count)).toEqual([4, 4, 4, 4, 4]);
      for (const [step, size] of sizes.entries()) {
        const expected = await alone(size, step);
        // float32 gradients: relative 1e-4.
        expect((measurements[step]?.small.squared_norm ?? 0) / (expected?.small.squared_norm ?? 1)).toBeCloseTo(1, 4);
        expect((measurements[step]?.big.squared_norm ?? 0) / (expected?.big.squared_norm ?? 1)).toBeCloseTo(1, 4);
        expect(measurements[step]?.small.batch_size).toBeCloseTo(expected?.small.batch_size ?? 0, 10);
      }
    });

    it("measures fitDataset", async () => {
      const { x, y } = examples(60);
      const { difference, measurements } = await compare(denseModel, (model) =>
        model.fitDataset(batchesOf(x, y, 15), { epochs: 5, verbose: 0 }),
      );
      expect(measurements).toHaveLength(20);
      expect(difference).toBeLessThan(rounding);
    });

    it("takes the steps of a loop of one's own as the optimizer takes them", async () => {
      const { x, y } = examples(21);
      const run = async (watcher: ReturnType<typeof watchLoop> | undefined) => {
        const weight = tf.variable(tf.zeros([12, 4]));
        const optimizer = tf.train.sgd(0.5);
        for (let step = 0; step < 20; step++) {
          if (watcher === undefined) optimizer.minimize(() => softmaxLoss(weight, { x, y }), false, [weight]);
          else watcher.minimize(optimizer, (batch) => softmaxLoss(weight, batch), { x, y }, [weight]).dispose();
        }
        return [...(await weight.data())];
      };
      const watcher = watchLoop({ sink: () => undefined, every: 1 });
      const difference = largestDifference(await run(undefined), await run(watcher));
      await watcher.close();
      expect(watcher.measurements).toBe(20);
      expect(difference).toBeLessThan(rounding);
    });

    it("skips and counts a batch below 2K and trains on", async () => {
      const { x, y } = examples(7);
      const { difference, events, measurements, watcher } = await compare(denseModel, (model) =>
        model.fit(x, y, { ...quietly, batchSize: 7, epochs: 3 }),
      );
      expect(measurements).toHaveLength(0);
      expect(watcher.counts).toEqual({ "batch-too-small": 3 });
      expect(events.map((event) => [event.kind, event.code])).toEqual(Array(3).fill(["dropped", "batch-too-small"]));
      expect(difference).toBe(0);
    });

    it("drops and counts what is not finite", async () => {
      const { y } = examples(16);
      const model = denseModel();
      const watcher = watch(model, { sink: () => undefined, every: 1 });
      await model.fit(tf.fill([16, 12], Number.NaN), y, { ...quietly, batchSize: 16, epochs: 2 });
      await watcher.flush();
      expect(watcher.measurements).toBe(0);
      expect(watcher.counts).toEqual({ "not-finite": 2 });
      watcher.detach();
    });

    it("warns once of batch normalisation and leaves weights and moving averages exactly as plain training does", async () => {
      const { x, y } = examples(64);
      const make = () => {
        const model = layers.sequential({
          layers: [
            layers.layers.dense({ units: 8, inputShape: [12], kernelInitializer: layers.initializers.ones() }),
            layers.layers.batchNormalization(),
            layers.layers.dense({ units: 4, activation: "softmax", kernelInitializer: layers.initializers.ones() }),
          ],
        });
        model.compile({ optimizer: tf.train.sgd(0.1), loss: "categoricalCrossentropy" });
        return model;
      };
      const { difference, events, measurements } = await compare(make, (model) =>
        model.fit(x, y, { ...quietly, batchSize: 16 }),
      );
      expect(events.map((event) => [event.kind, event.code])).toEqual([["warning", "batch-norm"]]);
      expect(measurements).toHaveLength(4);
      expect(difference).toBe(0);
    });

    it("says that a loss which is a sum cannot be measured, and does not touch the training", async () => {
      const { x, y } = examples(32);
      const summed = (truth: tf.Tensor, predicted: tf.Tensor) => tf.sum(tf.squaredDifference(truth, predicted));
      const { difference, events, measurements } = await compare(
        () => denseModel({ loss: summed, optimizer: tf.train.sgd(0.01) }),
        (model) => model.fit(x, y, { ...quietly, batchSize: 16, epochs: 3 }),
      );
      expect(measurements).toHaveLength(0);
      expect(events.map((event) => [event.kind, event.code])).toEqual([["unavailable", "loss-not-additive"]]);
      expect(difference).toBe(0);
    });

    it("keeps a metric that is no mean over examples as it is", async () => {
      const { x, y } = examples(32);
      const largest = (_truth: tf.Tensor, predicted: tf.Tensor) => tf.max(predicted);
      const train = (model: layers.LayersModel) => model.fit(x, y, { ...quietly, batchSize: 32, epochs: 3 });
      const plain = await train(denseModel({ metrics: [largest] }));
      const hooked = denseModel({ metrics: [largest] });
      const watcher = watch(hooked, { sink: () => undefined, every: 1 });
      const history = await train(hooked);
      await watcher.close();
      expect(watcher.measurements).toBe(3);
      expect(history.history["largest"]).toEqual(plain.history["largest"]);
    });

    it("never lets a failing sink or a failing part into the training", async () => {
      const { x, y } = examples(32);
      let calls = 0;
      const touchy = (truth: tf.Tensor, predicted: tf.Tensor) => {
        calls += 1;
        if (truth.shape[0] !== 16) throw new Error("only whole batches");
        return layers.metrics.categoricalCrossentropy(truth, predicted);
      };
      const broken = await compare(
        () => denseModel({ loss: touchy, metrics: [] }),
        (model) => model.fit(x, y, { ...quietly, batchSize: 16, epochs: 4 }),
      );
      expect(calls).toBeGreaterThan(0);
      expect(broken.difference).toBe(0);
      expect(broken.events.map((event) => event.kind)).toEqual(["dropped", "dropped", "unavailable"]);

      const model = denseModel();
      const watcher = watch(model, {
        sink: () => {
          throw new Error("full");
        },
        every: 1,
      });
      await model.fit(x, y, { ...quietly, batchSize: 16 });
      await watcher.flush();
      expect(watcher.counts).toEqual({ "sink-failed": 2 });
      watcher.detach();
    });

    it("watches two models at once, and each apart", async () => {
      const { x, y } = examples(32);
      const [first, second] = [denseModel(), denseModel()];
      const watchers: Watcher[] = [first, second].map((model) => watch(model, { sink: () => undefined, every: 1 }));
      // One fit waits inside the other's callback.
      await first.fit(x, y, {
        ...quietly,
        batchSize: 16,
        callbacks: { onBatchEnd: async () => void (await second.fit(x, y, { ...quietly, batchSize: 32 })) },
      });
      await Promise.all(watchers.map((watcher) => watcher.flush()));
      expect(watchers.map((watcher) => watcher.measurements)).toEqual([2, 2]);
      for (const watcher of watchers) watcher.detach();
    });

    it("refuses to watch a model twice, and gives it back as it was", () => {
      const model = denseModel();
      const { model: inner } = model as unknown as { model: object };
      const watcher = watch(model, { sink: () => undefined });
      expect(Object.hasOwn(inner, "makeTrainFunction")).toBe(true);
      expect(() => watch(model, { sink: () => undefined })).toThrow(/watched already/);
      watcher.detach();
      expect(Object.hasOwn(inner, "makeTrainFunction")).toBe(false);
      expect(Object.hasOwn(model, "build")).toBe(false);
      watch(model, { sink: () => undefined }).detach();
    });

    it("goes on measuring after the model is compiled again", async () => {
      const { x, y } = examples(16);
      const model = denseModel();
      const watcher = watch(model, { sink: () => undefined, every: 1 });
      await model.fit(x, y, { ...quietly, batchSize: 16 });
      model.compile({ optimizer: tf.train.sgd(0.05), loss: "meanSquaredError" });
      await model.fit(x, y, { ...quietly, batchSize: 16, epochs: 2 });
      await watcher.flush();
      expect(watcher.measurements).toBe(3);
      expect(watcher.last?.learning_rate).toBeCloseTo(0.05, 7);
      watcher.detach();
    });

    it("names the option that is wrong", () => {
      const model = denseModel();
      const sink = () => undefined;
      expect(() => watch(model, { sink, parts: 1 })).toThrow(/^parts: must be a whole number from 2, got 1$/);
      expect(() => watch(model, { sink, every: 0.5 })).toThrow(/^every: must be a whole number from 1, got 0.5$/);
      expect(() => watch(model, {})).toThrow(/give run and project/);
      expect(() => watch(model, { sink, onRecommendation: sink })).toThrow(
        /^onRecommendation: give it to createClient/,
      );
      expect(() => watch(model, { run: "a b", project: "p" })).toThrow(/run "a b": must be 1 to 128 characters/);
    });
  });
}

function softmaxLoss(weight: tf.Variable, batch: { x: tf.Tensor; y: tf.Tensor }): tf.Scalar {
  return tf.losses.softmaxCrossEntropy(batch.y, tf.matMul(batch.x as tf.Tensor2D, weight as tf.Tensor2D)) as tf.Scalar;
}

/** A data set as `fitDataset` takes it: batches of copies, which it disposes of. */
function batchesOf(x: tf.Tensor, y: tf.Tensor, size: number) {
  const starts = Array.from({ length: Math.ceil((x.shape[0] ?? 0) / size) }, (_, index) => index * size);
  const rows = (tensor: tf.Tensor, start: number) =>
    tf.slice(tensor, start, Math.min(size, (tensor.shape[0] ?? 0) - start));
  return {
    size: starts.length,
    iterator: async () => {
      let at = 0;
      return {
        next: async () => {
          const start = starts[at++];
          if (start === undefined) return { value: null, done: true };
          return { value: { xs: rows(x, start), ys: rows(y, start) }, done: false };
        },
      };
    },
  } as unknown as Parameters<layers.LayersModel["fitDataset"]>[0];
}
