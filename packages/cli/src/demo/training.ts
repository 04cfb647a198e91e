import { setImmediate as nextTurn } from "node:timers/promises";
import { parentPort, workerData } from "node:worker_threads";
import { type BatchSizeChange, type Watcher, watch } from "@noisescale/hook-tfjs";
import { dispose, ready, type SGDOptimizer, setBackend } from "@tensorflow/tfjs-core";
import type { Sequential } from "@tensorflow/tfjs-layers";
import { accuracy } from "./accuracy.ts";
import { DigitBatches } from "./digit-batches.ts";
import { type DigitSet, loadDigits } from "./digits.ts";
import { buildNetwork } from "./network.ts";
import type { TrainingChange, TrainingMessage, TrainingOrder } from "./training-messages.ts";
import "@tensorflow/tfjs-backend-wasm";

/** Digits between two looks at the accuracy. */
const examplesPerLook = 2000;
/** Steps after which a training that follows waits for the collector's answer, so that it comes out the same each time. */
const stepsPerAnswer = 10;

const tell = (message: TrainingMessage): void => parentPort?.postMessage(message);

/** Trains the network in a thread of its own, so that the page stays quick; sends what it measures over HTTP, as any hook. */
async function train(order: TrainingOrder): Promise<void> {
  await setBackend("wasm");
  await ready();
  const { train: digits, test } = loadDigits(order.testCount, order.seed);
  const training = new Training(order, digits, test);
  const startMs = performance.now();
  await training.run();
  const trainingSeconds = (performance.now() - startMs) / 1000;
  tell({ kind: "done", ...(await training.end()), trainingSeconds, backend: "wasm" });
}

class Training {
  readonly #order: TrainingOrder;
  readonly #network: Sequential;
  readonly #watcher: Watcher;
  readonly #batches: DigitBatches;
  readonly #test: DigitSet;
  readonly #changes: TrainingChange[] = [];
  #batchSize: number;
  #learningRate: number;
  #step = 0;
  #examples = 0;
  #reached = false;

  constructor(order: TrainingOrder, digits: DigitSet, test: DigitSet) {
    this.#order = order;
    this.#test = test;
    this.#batches = new DigitBatches(digits, order.seed);
    this.#batchSize = order.batchSize;
    this.#learningRate = order.learningRate;
    this.#network = buildNetwork(order.learningRate, order.seed);
    const { project, ...declaration } = order.declaration;
    this.#watcher = watch(this.#network, {
      url: order.collectorUrl,
      run: order.run,
      project,
      declaration,
      spoolDirectory: order.spoolDirectory,
      parts: 4,
      every: order.measureEvery,
      layers: true,
      ...(order.hessianEvery === undefined ? {} : { hessianEvery: order.hessianEvery }),
      onWarning: (message) => tell({ kind: "warning", message }),
      ...(order.follow === undefined
        ? {}
        : {
            // Sent when this training asks for the answer, and only then.
            flushEveryMs: 2 ** 30,
            batchSizeLimits: order.follow,
            onRecommendation: (change: BatchSizeChange) => this.#change(change),
          }),
    });
  }

  async run(): Promise<void> {
    const { examples, follow, untilAccuracy } = this.#order;
    let looked = 0;
    while (this.#examples < examples && !this.#reached) {
      await this.#takeStep();
      if (follow !== undefined && this.#step % stepsPerAnswer === 0) await this.#watcher.flush();
      if (untilAccuracy !== undefined && this.#examples >= looked + examplesPerLook) {
        looked = this.#examples;
        this.#reached = (await accuracy(this.#network, this.#test)) >= untilAccuracy;
      }
    }
  }

  async end() {
    const testAccuracy = await accuracy(this.#network, this.#test);
    await this.#watcher.close();
    return {
      steps: this.#step,
      examples: this.#examples,
      testAccuracy,
      reached: this.#reached,
      changes: this.#changes,
    };
  }

  async #takeStep(): Promise<void> {
    const { x, y } = this.#batches.take(this.#batchSize);
    const [loss] = (await this.#network.trainOnBatch(x, y)) as [number, number];
    dispose([x, y]);
    this.#step += 1;
    this.#examples += this.#batchSize;
    tell({
      kind: "progress",
      step: this.#step,
      examples: this.#examples,
      totalExamples: this.#order.examples,
      batchSize: this.#batchSize,
      loss,
    });
    // The wasm back end answers within the same turn: without this no request would leave before training ends.
    await nextTurn();
  }

  /** Where no factor is known the rate stays. */
  #change({ batchSize, learningRateFactor, snapshot }: BatchSizeChange): void {
    this.#batchSize = batchSize;
    this.#learningRate *= learningRateFactor ?? 1;
    (this.#network.optimizer as SGDOptimizer).setLearningRate(this.#learningRate);
    this.#changes.push({
      step: this.#step,
      examples: this.#examples,
      batchSize,
      learningRate: this.#learningRate,
      recommended: snapshot.recommendation.batch_size,
    });
  }
}

await train(workerData as TrainingOrder);
