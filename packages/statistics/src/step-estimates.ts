import { covarianceTraceOf, gradientSquaredNormOf, type SquaredNormPair, withoutReplacement } from "./one-step.ts";

/** One step's estimates, of either sign. */
export interface StepEstimates {
  /** [gradient²] */
  readonly gradientSquaredNorm: number;
  /** [gradient²·units] */
  readonly covarianceTrace: number;
}

/** Values of a quadratic form gᵀMg of a small and of a large batch's gradient, in place of their squared norms. */
export interface QuadraticFormPair {
  readonly small: {
    /** b [units]. */
    readonly batchSize: number;
    /** Mean over the parts of g_bᵀMg_b. */
    readonly value: number;
  };
  readonly big: {
    /** B [units]. */
    readonly batchSize: number;
    /** g_BᵀMg_B. */
    readonly value: number;
  };
}

/** `positive`: no gradient has a value below 0. */
export type QuadraticFormKind = "signed" | "positive";

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
  const place = name === undefined ? "total" : `layer ${JSON.stringify(name)}`;
  requireNotNegative(place, "squared norms", small.meanSquaredNorm, big.squaredNorm);
  return finiteEstimates(pair, datasetUnits, place, "squared norms");
}

/**
 * The same of a quadratic form: E[g_bᵀMg_b] = GᵀMG + tr(MΣ)/b, so that the estimates are of GᵀMG and tr(MΣ). Drawing
 * without replacement from N units adds tr(MΣ)/N, as it adds tr Σ/N to |G|².
 *
 * @param name - of the form, for the message
 * @throws RangeError as `stepEstimates`; values of a `signed` form may be negative
 */
export function formEstimates(
  { small, big }: QuadraticFormPair,
  kind: QuadraticFormKind,
  datasetUnits: number | undefined,
  name: string,
): StepEstimates {
  if (kind === "positive") requireNotNegative(name, "values", small.value, big.value);
  const pair = {
    small: { batchSize: small.batchSize, meanSquaredNorm: small.value },
    big: { batchSize: big.batchSize, squaredNorm: big.value },
  };
  return finiteEstimates(pair, datasetUnits, name, "values");
}

function requireNotNegative(place: string, what: string, small: number, big: number): void {
  if (small >= 0 && big >= 0) return;
  throw new RangeError(`${place}: ${what} must not be negative, and are ${small} (small) and ${big} (big)`);
}

function finiteEstimates(
  pair: SquaredNormPair,
  datasetUnits: number | undefined,
  place: string,
  what: string,
): StepEstimates {
  const { small, big } = pair;
  const covarianceTrace = covarianceTraceOf(pair);
  const plain = gradientSquaredNormOf(pair);
  const gradientSquaredNorm =
    datasetUnits === undefined ? plain : withoutReplacement(plain, covarianceTrace, datasetUnits);
  const scaled = gradientSquaredNorm * big.batchSize;
  if (!Number.isFinite(covarianceTrace * covarianceTrace) || !Number.isFinite(scaled * scaled)) {
    throw new RangeError(
      `${place}: the squares of the estimates of ${what} ${small.meanSquaredNorm} (small) and ${big.squaredNorm} (big) are not finite`,
    );
  }
  return { gradientSquaredNorm, covarianceTrace };
}
