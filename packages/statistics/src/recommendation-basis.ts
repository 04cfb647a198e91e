import type { FormNoiseScale } from "./form-scale.ts";
import { type CalibrationRatio, type MeasuredFrontiers, nearFrontier } from "./measured-frontiers.ts";

/** What a recommendation rests on, the best that there is. */
export type RecommendationBasis = "frontier" | "b_noise" | "b_simple_calibrated" | "b_simple";

/** What a run says of its own noise scales. */
export interface RunEvidence {
  readonly bSimple: FormNoiseScale;
  readonly bNoise: FormNoiseScale;
  /** Each as it is held within the hysteresis. */
  readonly heldBSimple: number | undefined;
  readonly heldBNoise: number | undefined;
  /** B_noise was known within its last 20 measurements. */
  readonly bNoiseKnownLately: boolean;
  /** Training loss, smoothed and held; undefined where the hook reports none. */
  readonly smoothedLoss: number | undefined;
}

/** The critical batch size that a recommendation rests on [units]. */
export interface CriticalBatchSize extends FormNoiseScale {
  readonly basis: RecommendationBasis;
  /** `value` with the hysteresis: what the recommended batch size is made from. */
  readonly held: number | undefined;
  /** Target of the fitted frontier, where that is the basis. */
  readonly target: string | undefined;
}

/**
 * The critical batch size from the best basis that there is: a frontier fitted near the current loss; else B_noise now;
 * else B_simple now × the project's calibration; else B_simple alone.
 *
 * With a calibration the interval's ends lie as far from the value, in logarithms, as the root of the sum of squares of
 * the two distances: the sweep's error and this run's are independent, and factors on one product.
 */
export function recommendationBasis(run: RunEvidence, measured: MeasuredFrontiers): CriticalBatchSize {
  const frontier =
    run.smoothedLoss === undefined ? undefined : nearFrontier(measured.frontiers ?? [], run.smoothedLoss);
  if (frontier !== undefined) {
    const { criticalBatchSize: value, criticalBatchSizeLow: low, criticalBatchSizeHigh: high, target } = frontier;
    return { basis: "frontier", value, low, high, held: value, target };
  }
  // A stretch in which B_noise is lost is a gap: B_simple, several times as large, would stand in it.
  const bNoiseKnown = run.bNoise.value !== undefined;
  if (bNoiseKnown || run.bNoiseKnownLately) {
    return { basis: "b_noise", ...run.bNoise, held: bNoiseKnown ? run.heldBNoise : undefined, target: undefined };
  }
  const held = run.bSimple.value === undefined ? undefined : run.heldBSimple;
  const { calibration } = measured;
  if (calibration === undefined) return { basis: "b_simple", ...run.bSimple, held, target: undefined };
  return {
    basis: "b_simple_calibrated",
    ...calibrated(run.bSimple, calibration),
    held: held === undefined ? undefined : held * calibration.ratio,
    target: undefined,
  };
}

function calibrated({ value, low, high }: FormNoiseScale, calibration: CalibrationRatio): FormNoiseScale {
  const { ratio, ratioLow, ratioHigh } = calibration;
  // Only a lower bound is known of B_simple: both at their lower ends.
  if (value === undefined) {
    return { value, low: low === undefined || ratioLow === undefined ? undefined : low * ratioLow, high: undefined };
  }
  const end = (ofValue: number | undefined, ofRatio: number | undefined, sign: 1 | -1): number | undefined =>
    ofValue === undefined || ofRatio === undefined
      ? undefined
      : value * ratio * Math.exp(sign * Math.hypot(Math.log(ofValue / value), Math.log(ofRatio / ratio)));
  return { value: value * ratio, low: end(low, ratioLow, -1), high: end(high, ratioHigh, 1) };
}
