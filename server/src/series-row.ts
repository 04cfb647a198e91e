import type { SeriesMetric } from "@noisescale/protocol";
import type { RunPoint } from "@noisescale/statistics";
import type { RunMeasurement } from "./run-measurement.ts";

/**
 * Columns of a stored row of the series, in order: step, time [Unix ms], then the metrics. Not known is NaN. Rows lie on
 * disk in this order: append only, and raise `RunEstimator.stateVersion`, so that every series is written anew.
 */
const metrics: readonly SeriesMetric[] = [
  "b_simple",
  "b_simple_low",
  "b_simple_high",
  "gradient_squared_norm",
  "covariance_trace",
  "critical_batch_size",
  "recommended_batch_size",
  "batch_size",
  "efficiency",
  "loss",
  "learning_rate",
  "b_noise",
  "b_noise_low",
  "b_noise_high",
  "b_preconditioned",
  "b_preconditioned_low",
  "b_preconditioned_high",
  "held_b_simple",
  "smoothed_loss",
];

export const stepColumn = 0;
export const timeColumn = 1;
const firstMetricColumn = 2;
export const seriesRowWidth: number = firstMetricColumn + metrics.length;

/**
 * Rows of one chunk as they are stored; all but the last chunk of a run are full. Every commit writes the last chunk again,
 * so it is short: two pages of the disk.
 */
export const chunkRows = 64;

export interface SeriesChunk {
  /** `seriesRowWidth` numbers a row. */
  readonly rows: Float64Array;
}

export function columnOf(metric: SeriesMetric): number {
  return firstMetricColumn + metrics.indexOf(metric);
}

/** A number of a stored row; null where it is not known. */
export function valueAt(rows: Float64Array, row: number, column: number): number | null {
  const value = rows[row * seriesRowWidth + column];
  return value === undefined || !Number.isFinite(value) ? null : value;
}

export function writeSeriesRow(rows: Float64Array, row: number, point: RunPoint, measurement: RunMeasurement): void {
  const at = row * seriesRowWidth;
  rows[at] = point.step;
  rows[at + 1] = measurement.timeMs;
  rows[at + 2] = point.bSimple ?? Number.NaN;
  rows[at + 3] = point.bSimpleLow ?? Number.NaN;
  rows[at + 4] = point.bSimpleHigh ?? Number.NaN;
  rows[at + 5] = point.gradientSquaredNorm ?? Number.NaN;
  rows[at + 6] = point.covarianceTrace ?? Number.NaN;
  rows[at + 7] = point.criticalBatchSize ?? Number.NaN;
  rows[at + 8] = point.recommendedBatchSize ?? Number.NaN;
  rows[at + 9] = point.batchSize;
  rows[at + 10] = point.efficiency ?? Number.NaN;
  rows[at + 11] = measurement.loss ?? Number.NaN;
  rows[at + 12] = measurement.learningRate ?? Number.NaN;
  rows[at + 13] = point.bNoise.value ?? Number.NaN;
  rows[at + 14] = point.bNoise.low ?? Number.NaN;
  rows[at + 15] = point.bNoise.high ?? Number.NaN;
  rows[at + 16] = point.bPreconditioned.value ?? Number.NaN;
  rows[at + 17] = point.bPreconditioned.low ?? Number.NaN;
  rows[at + 18] = point.bPreconditioned.high ?? Number.NaN;
  rows[at + 19] = point.heldBSimple ?? Number.NaN;
  rows[at + 20] = point.smoothedLoss ?? Number.NaN;
}
