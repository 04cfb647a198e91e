/** Mean squared norm of the gradients of small batches, and the squared norm of a large batch's, at the same weights. */
export interface SquaredNormPair {
  readonly small: {
    /** b [units]. */
    readonly batchSize: number;
    /** Mean over the parts of |G_b|² (not the square of the mean norm) [gradient²]. */
    readonly meanSquaredNorm: number;
  };
  readonly big: {
    /** B [units]. */
    readonly batchSize: number;
    /** |G_B|² [gradient²]. */
    readonly squaredNorm: number;
  };
}

/**
 * Unbiased estimate of |G|², the squared norm of the true gradient, from one step.
 *
 *   |G|² ≈ (B·|G_B|² − b·|G_b|²) / (B − b)
 *
 * Source: McCandlish et al. 2018, arXiv:1812.06162, appendix A.1.
 * @returns [gradient²]; may be ≤ 0, so average it and tr Σ apart and divide only then
 * @throws RangeError unless 0 < b < B
 */
export function gradientSquaredNormOf({ small, big }: SquaredNormPair): number {
  requireSmaller(small.batchSize, big.batchSize);
  return (
    (big.batchSize * big.squaredNorm - small.batchSize * small.meanSquaredNorm) / (big.batchSize - small.batchSize)
  );
}

/**
 * Unbiased estimate of tr Σ, the trace of the gradient's covariance per unit, from one step.
 *
 *   tr Σ ≈ (|G_b|² − |G_B|²) / (1/b − 1/B)
 *
 * Source: McCandlish et al. 2018, arXiv:1812.06162, appendix A.1.
 * @returns [gradient²·units]; may be ≤ 0
 * @throws RangeError unless 0 < b < B
 */
export function covarianceTraceOf({ small, big }: SquaredNormPair): number {
  requireSmaller(small.batchSize, big.batchSize);
  return (small.meanSquaredNorm - big.squaredNorm) / (1 / small.batchSize - 1 / big.batchSize);
}

/**
 * |G|² of the whole distribution's gradient seen from a data set of N units that is drawn without replacement: the batch
 * mean's error is then smaller than tr Σ/B by the factor (1 − B/N), which lowers the estimate of |G|² by tr Σ/N. The
 * corrected value is the squared norm of that data set's own gradient.
 *
 * @param gradientSquaredNorm - from `gradientSquaredNormOf` [gradient²]
 * @param covarianceTrace - from `covarianceTraceOf` [gradient²·units]
 * @param datasetUnits - N [units]
 */
export function withoutReplacement(gradientSquaredNorm: number, covarianceTrace: number, datasetUnits: number): number {
  if (!(datasetUnits > 0)) throw new RangeError(`datasetUnits must be positive, not ${datasetUnits}`);
  return gradientSquaredNorm + covarianceTrace / datasetUnits;
}

function requireSmaller(small: number, big: number): void {
  if (!(small > 0 && small < big && big < Number.POSITIVE_INFINITY)) {
    throw new RangeError(`small.batchSize must lie between 0 and big.batchSize, not ${small} and ${big}`);
  }
}
