import { type TradeRow, tradeTable } from "./critical-batch-size.ts";
import type { FormNoiseScale } from "./form-scale.ts";
import { type AdamFactors, adamFactors, adamLearningRateFactor, sgdLearningRateFactor } from "./learning-rate.ts";
import type { CriticalBatchSize, RecommendationBasis } from "./recommendation-basis.ts";
import type { RunSettings } from "./run-settings.ts";

export interface Recommendation {
  /** Undefined where the basis is not identifiable. */
  readonly batchSize: number | undefined;
  readonly batchSizeLow: number | undefined;
  readonly batchSizeHigh: number | undefined;
  readonly basis: RecommendationBasis;
  /** Target of the fitted frontier, where that is the basis. */
  readonly target: string | undefined;
  /** A measured frontier stands behind it. False: a noise scale alone, which is an indicator. */
  readonly calibrated: boolean;
  /** 𝓑 that the trade and the factor rest on, as it is now; the batch size holds it within the hysteresis [units]. */
  readonly criticalBatchSize: number | undefined;
  readonly criticalBatchSizeLow: number | undefined;
  readonly criticalBatchSizeHigh: number | undefined;
  /** r of the settings [units]. */
  readonly latencyRatio: number | undefined;
  readonly learningRateFactor: number | undefined;
  /** What goes with an Adam-like optimizer's learning rate; undefined where its factor is. */
  readonly adam: AdamFactors | undefined;
  /** Why the batch size stands as it stood, whatever the noise scale does. */
  readonly heldBack: "learning_rate" | undefined;
  readonly trade: readonly TradeRow[];
}

/** The noise scale behind a held recommendation moves only when it is off by more than this factor. */
export const hysteresisFactor = 1.25;

/**
 * Batch size at which a step's latency and its units cost the same: B = √(r·𝓑), where r is the cost of a step's latency
 * over the cost of a unit. Without r: B = 𝓑, twice the least steps and twice the least units. The nearest multiple
 * inside the settings' limits; where no multiple lies inside them the limits hold, because they are what fits in memory.
 *
 * Source: minimum of S·r + E over the frontier of McCandlish et al. 2018, arXiv:1812.06162, equation 2.11.
 */
export function recommendedBatchSize(noiseScale: number, settings: RunSettings): number {
  const { latencyRatio } = settings;
  return allowedBatchSize(latencyRatio === undefined ? noiseScale : Math.sqrt(latencyRatio * noiseScale), settings);
}

function allowedBatchSize(wanted: number, settings: RunSettings): number {
  const multiple = settings.batchMultiple ?? 1;
  const least = settings.batchMin ?? 0;
  const most = settings.batchMax ?? Number.POSITIVE_INFINITY;
  const leastMultiple = Math.max(Math.ceil(least / multiple), 1) * multiple;
  const mostMultiple = Math.floor(most / multiple) * multiple;
  if (leastMultiple > mostMultiple) return within(wanted, least, most);
  return within(Math.round(wanted / multiple) * multiple, leastMultiple, mostMultiple);
}

function within(value: number, least: number, most: number): number {
  return Math.min(Math.max(value, least), most);
}

/**
 * The noise scale that the recommendation rests on after a new value: the old one while the new one is within the
 * hysteresis and its interval holds the old one; while nothing is known the old one stands. It is the value that is held,
 * not its rounded batch size: a noise scale that hovers between two multiples would flap between them.
 *
 * @param held - undefined where there is none yet
 */
export function heldNoiseScale(
  held: number | undefined,
  { value, low = 0, high = Number.POSITIVE_INFINITY }: FormNoiseScale,
): number | undefined {
  if (value === undefined) return held;
  if (held !== undefined && (held < low || held > high)) return value;
  return heldWithin(hysteresisFactor, held, value);
}

/** The old value while the new one is within a factor of it. @param value - positive */
export function heldWithin(factor: number, held: number | undefined, value: number): number {
  if (held === undefined) return value;
  const off = value > held ? value / held : held / value;
  return off > factor ? value : held;
}

/**
 * @param basis - from `recommendationBasis`
 * @param heldBack - why `held` is not moved now
 */
export function recommendation(
  basis: CriticalBatchSize,
  currentBatchSize: number,
  settings: RunSettings,
  heldBack?: Recommendation["heldBack"],
): Recommendation {
  const { value, low, high, held } = basis;
  const at = (criticalBatchSize: number | undefined): number | undefined =>
    criticalBatchSize === undefined ? undefined : recommendedBatchSize(criticalBatchSize, settings);
  const batchSize = at(held);
  const known = value !== undefined && batchSize !== undefined;
  const rateFactor = known ? learningRateFactor(currentBatchSize, batchSize, value, settings) : undefined;
  return {
    batchSize,
    batchSizeLow: at(low),
    batchSizeHigh: at(high),
    basis: basis.basis,
    target: basis.target,
    calibrated: basis.basis === "frontier" || basis.basis === "b_simple_calibrated",
    criticalBatchSize: value,
    criticalBatchSizeLow: low,
    criticalBatchSizeHigh: high,
    latencyRatio: settings.latencyRatio,
    learningRateFactor: rateFactor,
    adam:
      settings.optimizer !== "adam" || batchSize === undefined || rateFactor === undefined
        ? undefined
        : adamFactors(currentBatchSize, batchSize),
    // What was fitted to a sweep does not move with this run's temperature.
    heldBack: basis.basis === "frontier" ? undefined : heldBack,
    trade: known ? tradeTable(currentBatchSize, batchSize, value) : [],
  };
}

function learningRateFactor(
  batchSize: number,
  newBatchSize: number,
  noiseScale: number,
  { optimizer }: RunSettings,
): number | undefined {
  if (optimizer === "sgd") return sgdLearningRateFactor(batchSize, newBatchSize, noiseScale);
  // The recommendation stands at the noise scale up to the hysteresis: the rule's validity must not flicker with it.
  if (optimizer === "adam") return adamLearningRateFactor(batchSize, newBatchSize, noiseScale * hysteresisFactor);
  return undefined;
}
