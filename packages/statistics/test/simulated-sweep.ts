import type { SweepRun } from "../src/index.ts";
import { seededNormal } from "./simulated-run.ts";

/** Batch sizes from 16 to 32768, evenly spaced in their logarithm. */
export function sweepBatchSizes(count: number): number[] {
  return Array.from({ length: count }, (_, i) => 16 * 2048 ** (i / (count - 1)));
}

/** A sweep on the frontier of 500 steps and a critical batch size, with lognormal noise anew in each run. */
export function simulatedSweep(sweep: {
  readonly batchSizes: readonly number[];
  readonly seeds: number;
  readonly criticalBatchSize: number;
  readonly deviation: number;
  readonly seed: number;
}): SweepRun[] {
  const normal = seededNormal(sweep.seed);
  return sweep.batchSizes.flatMap((batchSize) =>
    Array.from({ length: sweep.seeds }, () => ({
      batchSize,
      steps: 500 * (1 + sweep.criticalBatchSize / batchSize) * Math.exp(sweep.deviation * normal()),
    })),
  );
}
