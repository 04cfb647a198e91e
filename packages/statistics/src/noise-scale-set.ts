import type { FiellerSet } from "./fieller.ts";
import { type NoiseScale, unknownNoiseScale } from "./noise-scale.ts";

/**
 * B_simple = 1/x from the set of x = |G|²/tr Σ, which is intersected with x ≥ 0 and inverted:
 *
 *   0 < low ≤ high   identifiable: [1/high, 1/low]
 *   low ≤ 0 < high   |G|² may be 0: only the lower bound 1/high is known
 *   high ≤ 0         invalid: |G|² below 0
 *   not an interval  tr Σ may be 0: nothing is known
 *   tr Σ < 0         invalid where the set is an interval, so that tr Σ is told from 0
 */
export function noiseScaleOfSet(set: FiellerSet, gradientSquaredNorm: number, covarianceTrace: number): NoiseScale {
  const means = { gradientSquaredNorm, covarianceTrace };
  if (set.kind !== "interval" || covarianceTrace === 0) return { ...unknownNoiseScale, ...means };
  if (covarianceTrace < 0 || set.high <= 0) return { ...unknownNoiseScale, ...means, invalid: true };
  const bSimpleLow = 1 / set.high;
  if (set.low <= 0) return { ...unknownNoiseScale, ...means, bSimpleLow };
  return {
    ...means,
    bSimple: covarianceTrace / gradientSquaredNorm,
    bSimpleLow,
    bSimpleHigh: 1 / set.low,
    identifiable: true,
    invalid: false,
  };
}
