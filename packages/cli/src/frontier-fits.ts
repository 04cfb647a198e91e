import { toWireFrontier } from "@noisescale/server";
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
    targets: fits.map((fit) => toWireFrontier(fit.target, fit)),
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
