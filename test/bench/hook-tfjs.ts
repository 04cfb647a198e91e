// What the TensorFlow.js hook costs: time of hooked over plain training, blocks of 10 steps taken in turn in one process,
// median over the pairs of blocks; wall time, and processor time, which other work on the machine disturbs less.
//   node --conditions=@noisescale/source test/bench/hook-tfjs.ts [seconds a case] [words of what is measured, such as B_noise]
import "@tensorflow/tfjs-backend-wasm";
import { registerWasmTrainingKernels, type WatchOptions, watch } from "@noisescale/hook-tfjs";
import * as tf from "@tensorflow/tfjs-core";
import * as layers from "@tensorflow/tfjs-layers";
import { loadTfjsNode } from "../tools/load-tfjs-node.ts";

const secondsPerCase = Number(process.argv[2] ?? 10);
const wanted = process.argv[3] ?? "";
const stepsPerBlock = 10;
const batchSize = 64;

const cases: Record<string, () => layers.Sequential> = {
  "MLP 784-512-10": () =>
    layers.sequential({
      layers: [
        layers.layers.dense({ units: 512, activation: "relu", inputShape: [784] }),
        layers.layers.dense({ units: 10, activation: "softmax" }),
      ],
    }),
  "CNN 28×28, 8 and 16 filters": () =>
    layers.sequential({
      layers: [
        layers.layers.conv2d({
          filters: 8,
          kernelSize: 3,
          padding: "same",
          activation: "relu",
          inputShape: [28, 28, 1],
        }),
        layers.layers.maxPooling2d({ poolSize: 2 }),
        layers.layers.conv2d({ filters: 16, kernelSize: 3, padding: "same", activation: "relu" }),
        layers.layers.maxPooling2d({ poolSize: 2 }),
        layers.layers.flatten(),
        layers.layers.dense({ units: 10, activation: "softmax" }),
      ],
    }),
};

interface Variant {
  readonly name: string;
  readonly watch: Partial<WatchOptions>;
  readonly optimizer?: () => tf.Optimizer;
}

/** A block of ten steps has one measured step, or ten; with B_noise that step has the Hessian too. */
const variants: readonly Variant[] = [
  { name: "every 10", watch: { every: 10 } },
  { name: "every 1", watch: { every: 1 } },
  { name: "every 10, B_noise with each", watch: { every: 10, hessianEvery: 10 } },
  {
    name: "every 10, Adam's metric",
    watch: { every: 10, preconditioned: true },
    optimizer: () => tf.train.adam(1e-3),
  },
];

registerWasmTrainingKernels();
loadTfjsNode();
const rows: string[] = [];
for (const backend of ["wasm", "tensorflow"]) {
  await tf.setBackend(backend);
  for (const [name, make] of Object.entries(cases)) {
    for (const variant of variants.filter(({ name }) => name.includes(wanted))) {
      const { plainMs, ratio, low, high, cpuRatio } = await compare(make, variant);
      const range = `${low.toFixed(2)}–${high.toFixed(2)}`;
      rows.push(
        `| ${backend} | ${name} | ${variant.name} | ${plainMs.toFixed(1)} | ${ratio.toFixed(3)} | ${range} | ${cpuRatio.toFixed(3)} |`,
      );
      process.stderr.write(`${rows.at(-1)}\n`);
    }
  }
}
process.stdout.write(
  [
    "| back end | model | measured | plain step [ms] | hooked/plain | quartiles | processor time |",
    "|---|---|---|---|---|---|---|",
    ...rows,
    "",
  ].join("\n"),
);

async function compare(
  make: () => layers.Sequential,
  { watch: options, optimizer = () => tf.train.sgd(0.01) }: Variant,
) {
  const [plain, hooked] = [compiled(make, optimizer()), compiled(make, optimizer())];
  const inputShape = plain.inputs[0]?.shape.slice(1) as number[];
  const x = tf.randomUniform([batchSize * stepsPerBlock, ...inputShape], 0, 1, "float32", 1);
  const y = tf.oneHot(tf.randomUniform([batchSize * stepsPerBlock], 0, 10, "int32", 2), 10);
  const watcher = watch(hooked, { sink: () => undefined, parts: 4, ...options });
  const block = async (model: layers.Sequential) => {
    const cpu = process.cpuUsage();
    const start = performance.now();
    await model.fit(x, y, { batchSize, epochs: 1, shuffle: false, verbose: 0, yieldEvery: "never" });
    const wallMs = (performance.now() - start) / stepsPerBlock;
    const { user, system } = process.cpuUsage(cpu);
    return { wallMs, cpuMs: (user + system) / 1000 / stepsPerBlock };
  };
  // Two blocks of each first: compiled code, packed operators, and the hook's comparison of its first measured step.
  for (const model of [plain, hooked, plain, hooked]) await block(model);
  const pairs: { plainMs: number; ratio: number; cpuRatio: number }[] = [];
  const end = performance.now() + secondsPerCase * 1000;
  for (let index = 0; performance.now() < end; index++) {
    const first = await block(index % 2 === 0 ? plain : hooked);
    const second = await block(index % 2 === 0 ? hooked : plain);
    const [without, withHook] = index % 2 === 0 ? [first, second] : [second, first];
    const ratio = withHook.wallMs / without.wallMs;
    pairs.push({ plainMs: without.wallMs, ratio, cpuRatio: withHook.cpuMs / without.cpuMs });
  }
  await watcher.close();
  tf.dispose([x, y]);
  const ratios = pairs.map((pair) => pair.ratio);
  return {
    plainMs: quantile(
      pairs.map((pair) => pair.plainMs),
      0.5,
    ),
    ratio: quantile(ratios, 0.5),
    low: quantile(ratios, 0.25),
    high: quantile(ratios, 0.75),
    cpuRatio: quantile(
      pairs.map((pair) => pair.cpuRatio),
      0.5,
    ),
  };
}

function compiled(make: () => layers.Sequential, optimizer: tf.Optimizer): layers.Sequential {
  const model = make();
  model.compile({ optimizer, loss: "categoricalCrossentropy", metrics: ["accuracy"] });
  return model;
}

function quantile(values: readonly number[], at: number): number {
  const sorted = [...values].sort((left, right) => left - right);
  return sorted[Math.round(at * (sorted.length - 1))] ?? Number.NaN;
}
