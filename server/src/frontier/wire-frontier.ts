import type { FittedFrontierAnswer } from "@noisescale/protocol";
import type { FittedFrontier } from "@noisescale/statistics";

/** A fitted frontier as programs read it; null where the runs set no end. */
export function toWireFrontier(target: number, fit: FittedFrontier): FittedFrontierAnswer {
  return {
    target,
    min_steps: fit.minSteps,
    min_steps_low: fit.minStepsLow ?? null,
    min_steps_high: fit.minStepsHigh ?? null,
    min_units: fit.minUnits,
    min_units_low: fit.minUnitsLow ?? null,
    min_units_high: fit.minUnitsHigh ?? null,
    critical_batch_size: fit.criticalBatchSize,
    critical_batch_size_low: fit.criticalBatchSizeLow ?? null,
    critical_batch_size_high: fit.criticalBatchSizeHigh ?? null,
    rms_log_residual: fit.rmsLogResidual,
    runs: fit.runs,
    censored: fit.points
      .filter(({ neverReached }) => neverReached > 0)
      .map((point) => ({
        batch_size: point.batchSize,
        learning_rate: point.learningRate ?? null,
        runs: point.steps.length + point.neverReached,
        never_reached: point.neverReached,
        left_out: point.leftOut,
      })),
    intervals: fit.intervals,
    points: fit.points.map((point) => ({
      batch_size: point.batchSize,
      learning_rate: point.learningRate ?? null,
      steps: [...point.steps],
      never_reached: point.neverReached,
      left_out: point.leftOut,
      at_edge: point.atEdge,
    })),
    warnings: [...fit.warnings],
  };
}
