import type { SignalFilter } from "./filter.ts";
import { type NoiseScale, unknownNoiseScale } from "./noise-scale.ts";
import type { InverseNoiseScale } from "./predicted-frontier.ts";

/** The noise scale that a filter follows, with its 95 % interval: the quantiles of ξ = B₀·|G|²/tr Σ inverted. */
export function noiseScaleOfFilter(filter: SignalFilter): NoiseScale {
  if (!filter.started) return { ...unknownNoiseScale, invalid: filter.withoutNoise };
  const { lower, median, upper } = filter.quantiles;
  const reference = filter.referenceBatchSize;
  const covarianceTrace = filter.covarianceTrace;
  const bSimple = quotient(reference, median);
  const bSimpleHigh = quotient(reference, lower);
  const identifiable = lower > 0 && bSimple !== undefined && bSimpleHigh !== undefined;
  return {
    bSimple: identifiable ? bSimple : undefined,
    bSimpleLow: upper > 0 ? quotient(reference, upper) : undefined,
    bSimpleHigh: identifiable ? bSimpleHigh : undefined,
    identifiable,
    invalid: upper <= 0,
    gradientSquaredNorm: (median * covarianceTrace) / reference,
    covarianceTrace,
  };
}

/** 1/𝓑 as a started filter has it: its mean, and the ends of its interval. */
export function inverseNoiseScaleOfFilter(filter: SignalFilter): InverseNoiseScale {
  const { lower, upper } = filter.quantiles;
  const reference = filter.referenceBatchSize;
  return { low: lower / reference, middle: filter.signalMean / reference, high: upper / reference };
}

/** Undefined where the quotient of two positive numbers is too small or too large for a number. */
function quotient(numerator: number, denominator: number): number | undefined {
  const value = numerator / denominator;
  return value > 0 && value < Number.POSITIVE_INFINITY ? value : undefined;
}
