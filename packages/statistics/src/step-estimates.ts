import { covarianceTraceOf, gradientSquaredNormOf, type SquaredNormPair, withoutReplacement } from "./one-step.ts";

/** One step's estimates, of either sign. */
export interface StepEstimates {
  /** [gradient²] */
  readonly gradientSquaredNorm: number;
  /** [gradient²·units] */
  readonly covarianceTrace: number;
}

/**
 * Both estimates of one step, refused where they could not be averaged: one infinite step would poison every average for
 * good.
 *
 * @param name - of the layer, for the message; undefined for the total
 * @throws RangeError unless 0 < b < B and both squared norms are ≥ 0, finite, and their estimates have finite squares
 */
export function stepEstimates(
  pair: SquaredNormPair,
  datasetUnits: number | undefined,
  name?: string | undefined,
): StepEstimates {
  const { small, big } = pair;
  if (!(small.meanSquaredNorm >= 0 && big.squaredNorm >= 0)) {
    throw new RangeError(
      `${place(name)}: squared norms must not be negative, and are ${small.meanSquaredNorm} (small) and ${big.squaredNorm} (big)`,
    );
  }
  const covarianceTrace = covarianceTraceOf(pair);
  const plain = gradientSquaredNormOf(pair);
  const gradientSquaredNorm =
    datasetUnits === undefined ? plain : withoutReplacement(plain, covarianceTrace, datasetUnits);
  const scaled = gradientSquaredNorm * big.batchSize;
  if (!Number.isFinite(covarianceTrace * covarianceTrace) || !Number.isFinite(scaled * scaled)) {
    throw new RangeError(
      `${place(name)}: the squares of the estimates of squared norms ${small.meanSquaredNorm} (small) and ${big.squaredNorm} (big) are not finite`,
    );
  }
  return { gradientSquaredNorm, covarianceTrace };
}

function place(name: string | undefined): string {
  return name === undefined ? "total" : `layer ${JSON.stringify(name)}`;
}
