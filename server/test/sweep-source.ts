import type { MeasurementInput } from "@noisescale/protocol";
import { seededUniform } from "./measurement-source.ts";

/** Runs of a sweep that all go the same way: the loss falls e-fold in 40 least steps, and 𝓑 grows with the progress. */
export interface SweepRunPlan {
  readonly batchSize: number;
  readonly seed?: number;
  readonly learningRate?: number;
  /** Least steps that the run makes before it ends. */
  readonly progress?: number;
  /** A worse learning rate: times the steps. */
  readonly slowness?: number;
  /** Name under which the loss is evaluated; undefined: it is not. */
  readonly evaluation?: string;
}

/** B_crit/B_simple of every run. */
export const sweepRatio = 0.25;
const firstNoiseScale = 100;
const growth = 0.02;

export const lossAt = (progress: number): number => 2 * Math.exp(-progress / 40);
export const progressAt = (loss: number): number => -40 * Math.log(loss / 2);
/** Mean of 𝓑 over the least steps until a loss: E_min/S_min, the frontier's exact B_crit. */
export function criticalBatchSizeAt(loss: number): number {
  const progress = progressAt(loss);
  return (firstNoiseScale * (Math.exp(growth * progress) - 1)) / (growth * progress);
}

/** About a hundred measurements; wobbling by a percent. */
export function sweepMeasurements(plan: SweepRunPlan): MeasurementInput[] {
  const { batchSize, seed = 0, learningRate, progress: until = 80, slowness = 1, evaluation } = plan;
  const uniform = seededUniform(batchSize * 17 + seed * 7919 + 1);
  uniform();
  const wobble = (): number => 1 + 0.02 * (uniform() - 0.5);
  const length = until * (1 + criticalBatchSizeAt(lossAt(until)) / batchSize) * slowness;
  const every = Math.max(1, Math.floor(length / 100));
  const measurements: MeasurementInput[] = [];
  for (let step = 0, progress = 0; progress < until; step += 1) {
    const noiseScale = firstNoiseScale * Math.exp(growth * progress);
    const squaredNorm = sweepRatio / noiseScale;
    const loss = lossAt(progress);
    if (step % every === 0) {
      measurements.push({
        step,
        time_ms: 1_760_000_000_000 + step * 100,
        small: { batch_size: batchSize / 4, squared_norm: (squaredNorm + 4 / batchSize) * wobble(), count: 4 },
        big: { batch_size: batchSize, squared_norm: (squaredNorm + 1 / batchSize) * wobble() },
        loss,
        ...(learningRate === undefined ? {} : { learning_rate: learningRate }),
        ...(evaluation === undefined ? {} : { evaluations: { [evaluation]: loss, "other accuracy": 1 - loss / 2 } }),
      });
    }
    progress += 1 / (1 + noiseScale / batchSize) / slowness;
  }
  return measurements;
}
