import { confidenceQuantile } from "./confidence.ts";
import type { FittedFrontier } from "./frontier-fit.ts";
import type { CalibrationRatio } from "./measured-frontiers.ts";

/** A run of the sweep, up to the step at which it reached the target. */
export interface CalibrationRun {
  /** As the sweep's fit has it [units]. */
  readonly batchSize: number;
  /** Δ_t: steps since the measurement before. */
  readonly steps: Float64Array;
  /** 1/B_simple at each measurement, at least 0 [1/units]. */
  readonly inverseNoiseScale: Float64Array;
}

/** B_crit/B_simple of a sweep. */
export interface Calibration extends CalibrationRatio {
  readonly calibrated: true;
  /** Of each run, in the order given; undefined where the run showed too little signal. */
  readonly ratios: readonly (number | undefined)[];
  /** Standard deviation of ln ratio between the batch sizes. */
  readonly logScatter: number;
}

/** Why a sweep gives no calibration, as a sentence. */
export interface NoCalibration {
  readonly calibrated: false;
  readonly reason: string;
}

const fewestBatchSizes = 3;

/**
 * The factor c on B_simple with which the sweep's own runs predict the frontier that was fitted to them.
 *
 * A run's predicted frontier passes through its own point (S, B) whatever c is: S_min(c) + E_min(c)/B = S. What is left to
 * agree on is E_min(c)/S_min(c) = B_crit, and that gives one c for each run: it weighs B_simple by the progress made, as the
 * frontier does, where an average over time would be ruled by the long end of the run. The calibration is the geometric
 * mean over the batch sizes, each the geometric mean of its runs.
 *
 * The interval is one for the next run: in logarithms the root of the sum of squares of the fitted B_crit's own distance,
 * carried through the runs, and of Student's t × the scatter between batch sizes × √(1 + 1/n), with n − 1 degrees. The
 * scatter holds what the batch sizes disagree on: B_simple itself moves with the temperature, rate over batch size. There is
 * no lower end where a run that has a ratio has none at the fitted B_crit's lower end.
 * Source of the prediction: McCandlish et al. 2018, arXiv:1812.06162, appendix D.
 */
export function calibrate(
  runs: readonly CalibrationRun[],
  fitted: Pick<FittedFrontier, "criticalBatchSize" | "criticalBatchSizeLow" | "criticalBatchSizeHigh">,
): Calibration | NoCalibration {
  const ratiosAt = (criticalBatchSize: number): (number | undefined)[] =>
    runs.map((run) => runCalibration(run, criticalBatchSize));
  const ratios = ratiosAt(fitted.criticalBatchSize);
  const logRatios = meansByBatchSize(runs, ratios);
  const count = logRatios.length;
  if (count < fewestBatchSizes) {
    return {
      calibrated: false,
      reason: `A calibration needs runs with a measured noise scale at ${fewestBatchSizes} batch sizes or more, and there ${count === 1 ? "is one" : `are ${count}`}.`,
    };
  }
  const logRatio = mean(logRatios);
  const logScatter = Math.sqrt(logRatios.reduce((total, value) => total + (value - logRatio) ** 2, 0) / (count - 1));
  const spread = confidenceQuantile(count - 1) * logScatter * Math.sqrt(1 + 1 / count);
  const end = (criticalBatchSize: number | undefined, sign: 1 | -1): number | undefined => {
    if (criticalBatchSize === undefined) return undefined;
    // Of the runs that the value is made of: a mean over others would move with the runs rather than with B_crit.
    const ratiosThere = ratiosAt(criticalBatchSize).map((ratio, i) => (ratios[i] === undefined ? undefined : ratio));
    // A run whose ratio has gone to 0 sets no lower end.
    if (ratiosThere.some((ratio, i) => ratio === undefined && ratios[i] !== undefined)) return undefined;
    const fromFit = mean(meansByBatchSize(runs, ratiosThere)) - logRatio;
    return Math.exp(logRatio + sign * Math.hypot(fromFit, spread));
  };
  return {
    calibrated: true,
    ratio: Math.exp(logRatio),
    ratioLow: end(fitted.criticalBatchSizeLow, -1),
    ratioHigh: end(fitted.criticalBatchSizeHigh, 1),
    ratios,
    logScatter,
  };
}

/**
 * c > 0 with E_min(c)/S_min(c) = B_crit, where 𝓑_t = c/x_t:
 *
 *   c = B_crit·m(c),  m(c) = Σ Δ·x/(c + xB) / Σ Δ/(c + xB)
 *
 * m is a weighted mean of x that grows with c, more slowly than c itself: there is at most one c. Newton's steps on ln c.
 *
 * @returns undefined where there is none: the steps without signal (x = 0) alone spend more units than B_crit allows
 */
export function runCalibration(
  { batchSize, steps, inverseNoiseScale }: CalibrationRun,
  criticalBatchSize: number,
): number | undefined {
  let lit = 0;
  let dark = 0;
  for (const [i, x] of inverseNoiseScale.entries()) {
    if (x > 0) lit += steps[i] as number;
    else dark += steps[i] as number;
  }
  // What E_min/S_min falls to as c goes to 0.
  if (!(dark * batchSize < lit * criticalBatchSize)) return undefined;
  const logCritical = Math.log(criticalBatchSize);
  const largest = inverseNoiseScale.reduce((most, x) => Math.max(most, x), 0);
  let high = logCritical + Math.log(largest);
  let low = Number.NEGATIVE_INFINITY;
  let place = high;
  for (let iteration = 0; iteration < 200; iteration += 1) {
    const { mean: m, slope } = weightedMean(Math.exp(place), batchSize, steps, inverseNoiseScale);
    const excess = place - logCritical - Math.log(m);
    if (excess > 0) high = place;
    else low = place;
    const newton = place - excess / (1 - slope);
    const inside = newton > low && newton <= high;
    const next = inside ? newton : low === Number.NEGATIVE_INFINITY ? high - 1 : (low + high) / 2;
    if (Math.abs(next - place) <= 1e-13 * Math.max(1, Math.abs(next))) return Math.exp(next);
    place = next;
  }
  return Math.exp(place);
}

/** m(c) and d ln m/d ln c. */
function weightedMean(
  c: number,
  batchSize: number,
  steps: Float64Array,
  inverseNoiseScale: Float64Array,
): { readonly mean: number; readonly slope: number } {
  let weights = 0;
  let weighted = 0;
  let squares = 0;
  let weightedSquares = 0;
  for (let i = 0; i < steps.length; i += 1) {
    const x = inverseNoiseScale[i] as number;
    // In units of 1/c, so that c may be small.
    const share = 1 / (1 + (x * batchSize) / c);
    const weight = (steps[i] as number) * share;
    weights += weight;
    weighted += weight * x;
    squares += weight * share;
    weightedSquares += weight * share * x;
  }
  return { mean: weighted / weights, slope: squares / weights - weightedSquares / weighted };
}

function meansByBatchSize(runs: readonly CalibrationRun[], ratios: readonly (number | undefined)[]): number[] {
  const byBatchSize = new Map<number, number[]>();
  for (const [i, { batchSize }] of runs.entries()) {
    const ratio = ratios[i];
    if (ratio === undefined) continue;
    const known = byBatchSize.get(batchSize) ?? [];
    known.push(Math.log(ratio));
    byBatchSize.set(batchSize, known);
  }
  return [...byBatchSize.values()].map(mean);
}

function mean(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0) / values.length;
}
