import { logLine } from "./log-line.ts";

/** Critical batch size as a power of the loss: B_crit(L) = B∗/L^(1/α). */
export interface PowerLaw {
  readonly fitted: true;
  /** B∗: the critical batch size at a loss of 1 [units] */
  readonly criticalBatchSizeAtOne: number;
  readonly alpha: number;
  /** Root of the mean square of ln B_crit − line. */
  readonly rmsLogResidual: number;
  readonly targets: number;
}

/** Why targets give no power law, as a sentence. */
export interface NoPowerLaw {
  readonly fitted: false;
  readonly reason: string;
}

const fewestTargets = 3;

/**
 * Line of ln B_crit against ln L by least squares, over the targets of one sweep. The targets share their runs, so that
 * their errors are not independent: no interval is claimed.
 *
 * Source: Kaplan et al. 2020, Scaling laws for neural language models, arXiv:2001.08361, equation 1.4.
 * @param targets - loss L, and B_crit of the frontier that was fitted there [units]
 */
export function criticalBatchSizePowerLaw(
  targets: readonly { readonly loss: number; readonly criticalBatchSize: number }[],
): PowerLaw | NoPowerLaw {
  const unfitted = (reason: string): NoPowerLaw => ({ fitted: false, reason });
  const count = new Set(targets.map(({ loss }) => loss)).size;
  if (count < fewestTargets) {
    return unfitted(
      `A power law of the loss needs at least ${fewestTargets} targets with a frontier, and there ${count === 1 ? "is 1" : `are ${count}`}.`,
    );
  }
  const wrong = targets.find(({ loss }) => !(loss > 0 && Number.isFinite(loss)));
  if (wrong !== undefined) return unfitted(`A power law needs targets above 0, and ${wrong.loss} is not.`);
  const { slope, intercept, rmsLogResidual } = logLine(
    targets.map(({ loss, criticalBatchSize }) => [loss, criticalBatchSize]),
  );
  if (!(slope < 0)) {
    return unfitted(
      "The critical batch size does not grow as the target falls: no power law of a loss. Is the target a loss?",
    );
  }
  return {
    fitted: true,
    criticalBatchSizeAtOne: Math.exp(intercept),
    alpha: -1 / slope,
    rmsLogResidual,
    targets: targets.length,
  };
}
