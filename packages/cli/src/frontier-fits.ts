import {
  criticalBatchSizePowerLaw,
  type FittedFrontier,
  fitFrontier,
  type NoPowerLaw,
  type PowerLaw,
} from "@noisescale/statistics";
import type { SweepRow } from "./sweep-file.ts";

/** Frontiers of a sweep at its targets, in the order of the file. */
export interface FrontierFits {
  readonly fits: readonly (FittedFrontier & { readonly target: number })[];
  readonly unfitted: readonly { readonly target: number; readonly reason: string }[];
  readonly powerLaw: PowerLaw | NoPowerLaw;
}

export function fitTargets(rows: readonly SweepRow[]): FrontierFits {
  const found = [...Map.groupBy(rows, ({ target }) => target)].map(([target, own]) => ({
    target,
    ...fitFrontier(own),
  }));
  const fits = found.filter((fit) => fit.fitted);
  return {
    fits,
    unfitted: found.filter((fit) => !fit.fitted).map(({ target, reason }) => ({ target, reason })),
    powerLaw: criticalBatchSizePowerLaw(
      fits.map(({ target, criticalBatchSize }) => ({ loss: target, criticalBatchSize })),
    ),
  };
}

/** As programs read it; null where the runs set no end, or there is no power law. */
export function frontierJson({ fits, unfitted, powerLaw }: FrontierFits): object {
  return {
    targets: fits.map((fit) => ({
      target: fit.target,
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
      warnings: fit.warnings,
    })),
    power_law: powerLaw.fitted
      ? {
          critical_batch_size_at_one: powerLaw.criticalBatchSizeAtOne,
          alpha: powerLaw.alpha,
          rms_log_residual: powerLaw.rmsLogResidual,
          targets: powerLaw.targets,
        }
      : null,
    unfitted,
  };
}
