import { setImmediate as nextTurn } from "node:timers/promises";
import { parentPort, workerData } from "node:worker_threads";
import { watch } from "@noisescale/hook-tfjs";
import { dispose, ready, setBackend, tensor2d, tidy } from "@tensorflow/tfjs-core";
import { classes, type DigitSet, loadDigits, pictureSide } from "./digits.ts";
import { buildNetwork } from "./network.ts";
import { shuffled } from "./seeded-random.ts";
import type { TrainingMessage, TrainingOrder } from "./training-messages.ts";
import "@tensorflow/tfjs-backend-wasm";

const pixels = pictureSide * pictureSide;

const tell = (message: TrainingMessage): void => parentPort?.postMessage(message);

function batchOf(
  set: DigitSet,
  places: readonly number[],
): { readonly pictures: Float32Array; readonly labels: Float32Array } {
  const pictures = new Float32Array(places.length * pixels);
  const labels = new Float32Array(places.length * classes);
  places.forEach((place, row) => {
    pictures.set(set.pictures.subarray(place * pixels, (place + 1) * pixels), row * pixels);
    labels.set(set.labels.subarray(place * classes, (place + 1) * classes), row * classes);
  });
  return { pictures, labels };
}

/** Trains the network in a thread of its own, so that the page stays quick; sends what it measures over HTTP, as any hook. */
async function train(order: TrainingOrder): Promise<void> {
  await setBackend("wasm");
  await ready();
  const { train: digits, test } = loadDigits(order.testCount, order.seed);
  const network = buildNetwork(order.learningRate, order.seed);
  const { project, ...declaration } = order.declaration;
  const watcher = watch(network, {
    url: order.collectorUrl,
    run: order.run,
    project,
    declaration,
    spoolDirectory: order.spoolDirectory,
    parts: 4,
    every: order.measureEvery,
    layers: true,
    onWarning: (message) => tell({ kind: "warning", message }),
  });
  const stepsPerEpoch = Math.floor(digits.count / order.batchSize);
  const totalSteps = stepsPerEpoch * order.epochs;
  const startMs = performance.now();
  for (let epoch = 0; epoch < order.epochs; epoch += 1) {
    const places = shuffled(
      Array.from({ length: digits.count }, (_, place) => place),
      order.seed + epoch,
    );
    for (let step = 0; step < stepsPerEpoch; step += 1) {
      const batch = batchOf(digits, places.slice(step * order.batchSize, (step + 1) * order.batchSize));
      const x = tensor2d(batch.pictures, [order.batchSize, pixels]);
      const y = tensor2d(batch.labels, [order.batchSize, classes]);
      const [loss] = (await network.trainOnBatch(x, y)) as [number, number];
      dispose([x, y]);
      // The wasm back end answers within the same turn: without this no request would leave before training ends.
      await nextTurn();
      tell({ kind: "progress", step: epoch * stepsPerEpoch + step + 1, totalSteps, loss });
    }
  }
  const trainingSeconds = (performance.now() - startMs) / 1000;
  const testAccuracy = await accuracy(network, test);
  await watcher.close();
  tell({ kind: "done", steps: totalSteps, testAccuracy, trainingSeconds, backend: "wasm" });
}

async function accuracy(network: ReturnType<typeof buildNetwork>, set: DigitSet): Promise<number> {
  const right = tidy(() => {
    const predicted = network.predict(tensor2d(set.pictures, [set.count, pixels]), { batchSize: 500 });
    return Array.isArray(predicted) ? undefined : predicted;
  });
  const scores = (await right?.data()) ?? new Float32Array();
  right?.dispose();
  let hits = 0;
  for (let row = 0; row < set.count; row += 1) {
    const guess = largest(scores.subarray(row * classes, (row + 1) * classes));
    if (set.labels[row * classes + guess] === 1) hits += 1;
  }
  return hits / set.count;
}

function largest(values: ArrayLike<number>): number {
  let place = 0;
  for (let index = 1; index < values.length; index += 1) {
    if ((values[index] ?? 0) > (values[place] ?? 0)) place = index;
  }
  return place;
}

await train(workerData as TrainingOrder);
