/** Means of a numerator and of a denominator with the covariance of these means. */
export interface RatioMoments {
  readonly numerator: number;
  readonly denominator: number;
  readonly numeratorVariance: number;
  readonly denominatorVariance: number;
  readonly covariance: number;
}

/** Values of a ratio that the data do not exclude. */
export type FiellerSet =
  /** low ≤ ratio ≤ high: the denominator is distinguished from 0. */
  | { readonly kind: "interval"; readonly low: number; readonly high: number }
  /** ratio ≤ below or ratio ≥ above: the denominator may be 0, the numerator not. */
  | { readonly kind: "outside"; readonly below: number; readonly above: number }
  /** Every ratio: both may be 0. */
  | { readonly kind: "line" };

/**
 * Confidence set of a ratio of two means.
 *
 *   { x : (N − xD)² ≤ t²·(v_N − 2x·c + x²·v_D) }
 *
 * Source: Fieller 1954, Some problems in interval estimation, J. R. Stat. Soc. B 16.
 * @param quantile - t, the two-sided quantile that the set's confidence belongs to
 */
export function fiellerSet(moments: RatioMoments, quantile: number): FiellerSet {
  const { numerator, denominator } = moments;
  const squaredQuantile = quantile * quantile;
  const a = denominator * denominator - squaredQuantile * moments.denominatorVariance;
  const b = numerator * denominator - squaredQuantile * moments.covariance;
  const c = numerator * numerator - squaredQuantile * moments.numeratorVariance;
  // a·x² − 2b·x + c ≤ 0.
  const discriminant = b * b - a * c;
  if (a > 0) {
    // N/D solves the inequality, so rounding alone can make the discriminant negative.
    const root = Math.sqrt(Math.max(0, discriminant));
    return { kind: "interval", low: (b - root) / a, high: (b + root) / a };
  }
  if (discriminant <= 0) return { kind: "line" };
  const root = Math.sqrt(discriminant);
  if (a === 0) {
    return b > 0
      ? { kind: "outside", below: Number.NEGATIVE_INFINITY, above: c / (2 * b) }
      : { kind: "outside", below: c / (2 * b), above: Number.POSITIVE_INFINITY };
  }
  return { kind: "outside", below: (b + root) / a, above: (b - root) / a };
}
