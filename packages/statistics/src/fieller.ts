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
  /** ratio ≤ below or ratio ≥ above: the denominator may be 0, the numerator not. One side is infinite for a half-line. */
  | { readonly kind: "outside"; readonly below: number; readonly above: number }
  /** Every ratio: both may be 0. */
  | { readonly kind: "line" };

/**
 * Confidence set of a ratio of two means.
 *
 *   { x : (N − xD)² ≤ t²·(v_N − 2x·c + x²·v_D) }, that is a·x² − 2b·x + c ≤ 0
 *
 * a > 0: an interval around N/D. a ≤ 0, real roots: all but the open interval between them, or a half-line where a = 0.
 * a ≤ 0, no real roots: the whole line.
 *
 * Source: Fieller 1954, Some problems in interval estimation, J. R. Stat. Soc. B 16.
 * @param quantile - t, the two-sided quantile that the set's confidence belongs to
 */
export function fiellerSet(moments: RatioMoments, quantile: number): FiellerSet {
  // In units of its own size each, so that products of four neither overflow nor vanish.
  const numeratorUnit = size(moments.numerator, moments.numeratorVariance);
  const denominatorUnit = size(moments.denominator, moments.denominatorVariance);
  const unit = numeratorUnit / denominatorUnit;
  const numerator = moments.numerator / numeratorUnit;
  const denominator = moments.denominator / denominatorUnit;
  const squaredQuantile = quantile * quantile;
  const covariance = moments.covariance / numeratorUnit / denominatorUnit;
  const a = denominator * denominator - squaredQuantile * (moments.denominatorVariance / denominatorUnit ** 2);
  const b = numerator * denominator - squaredQuantile * covariance;
  const c = numerator * numerator - squaredQuantile * (moments.numeratorVariance / numeratorUnit ** 2);
  const discriminant = b * b - a * c;
  if (a > 0) {
    // N/D solves the inequality, so rounding alone can make the discriminant negative.
    const root = Math.sqrt(Math.max(0, discriminant));
    // The root that adds numbers of one sign, then the other by the product of both: no cancellation near 0.
    const far = b >= 0 ? (b + root) / a : (b - root) / a;
    const near = far === 0 ? 0 : c / (a * far);
    return b >= 0
      ? { kind: "interval", low: near * unit, high: far * unit }
      : { kind: "interval", low: far * unit, high: near * unit };
  }
  if (discriminant <= 0) return { kind: "line" };
  if (a === 0) {
    const end = (c / (2 * b)) * unit;
    return b > 0
      ? { kind: "outside", below: Number.NEGATIVE_INFINITY, above: end }
      : { kind: "outside", below: end, above: Number.POSITIVE_INFINITY };
  }
  const root = Math.sqrt(discriminant);
  return { kind: "outside", below: ((b + root) / a) * unit, above: ((b - root) / a) * unit };
}

/** Larger of a mean and its standard deviation; 1 where both are 0. */
function size(mean: number, variance: number): number {
  return Math.max(Math.abs(mean), Math.sqrt(variance)) || 1;
}
