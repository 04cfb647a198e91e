import { bootstrapIntervals } from "./frontier-bootstrap.ts";
import { type CurveFit, FrontierCurve } from "./frontier-curve.ts";
import type { FrontierIntervals } from "./frontier-interval.ts";
import { profileIntervals } from "./frontier-profile.ts";
import { type SweepPoint, type SweepRun, sweepPoints } from "./frontier-sweep.ts";
import { frontierWarnings } from "./frontier-warnings.ts";

/** A frontier fitted to a sweep. An end of an interval is undefined where the runs set none. */
export interface FittedFrontier {
  readonly fitted: true;
  readonly minSteps: number;
  readonly minStepsLow: number | undefined;
  readonly minStepsHigh: number | undefined;
  /** [units] */
  readonly minUnits: number;
  readonly minUnitsLow: number | undefined;
  readonly minUnitsHigh: number | undefined;
  /** E_min/S_min [units] */
  readonly criticalBatchSize: number;
  readonly criticalBatchSizeLow: number | undefined;
  readonly criticalBatchSizeHigh: number | undefined;
  /** Root of the mean square of ln S − curve, over the runs. */
  readonly rmsLogResidual: number;
  /** Runs that the curve was fitted to. */
  readonly runs: number;
  /** What the intervals rest on: seeds drawn again, or the residuals where a batch size has fewer than three seeds. */
  readonly intervals: "seeds" | "residuals";
  readonly points: readonly SweepPoint[];
  /** Sentences for people. */
  readonly warnings: readonly string[];
}

/** A sweep that gives no frontier, and the reason as a sentence. */
export interface UnfittedFrontier {
  readonly fitted: false;
  readonly reason: string;
  readonly points: readonly SweepPoint[];
}

const fewestBatchSizes = 3;
const fewestSeeds = 3;

/**
 * Frontier of a sweep over batch sizes at one target: least squares on ln S of
 *
 *   S = S_min·(1 + B_crit/B),  E = S·B,  B_crit = E_min/S_min
 *
 * Every run at a batch size's chosen learning rate enters; a batch size where over half of them never reached the target
 * does not. 95 % intervals: `bootstrapIntervals` where every batch size has three seeds, else `profileIntervals`.
 * Source: McCandlish et al. 2018, arXiv:1812.06162, equation 2.11 and section 4.1.
 * @throws RangeError as `sweepPoints` does
 */
export function fitFrontier(runs: readonly SweepRun[]): FittedFrontier | UnfittedFrontier {
  const points = sweepPoints(runs);
  const kept = points.filter(({ leftOut }) => !leftOut);
  const unfitted = (reason: string): UnfittedFrontier => ({ fitted: false, reason, points });
  if (kept.length < fewestBatchSizes) return unfitted(tooFew(points, kept));
  const logSteps = kept.map(({ steps }) => steps.map(Math.log));
  const means = logSteps.map(mean);
  const curve = new FrontierCurve(kept.map(({ batchSize, steps }) => ({ batchSize, runs: steps.length })));
  const fit = curve.fit(means);
  if (fit.logCriticalBatchSize === Number.NEGATIVE_INFINITY) {
    return unfitted(
      `The steps do not fall as the batch size grows from ${text(kept[0]?.batchSize)} to ${text(kept.at(-1)?.batchSize)}: there is no trade to fit. Sweep smaller batch sizes, with the learning rate tuned at each.`,
    );
  }
  if (fit.logCriticalBatchSize === Number.POSITIVE_INFINITY) {
    return unfitted(
      `The steps fall as fast as the batch size grows, up to ${text(kept.at(-1)?.batchSize)}: the critical batch size lies beyond. Sweep larger batch sizes.`,
    );
  }
  const count = logSteps.reduce((total, values) => total + values.length, 0);
  const withinSquares = logSteps.reduce((total, values, i) => total + squaresAbout(values, means[i] ?? Number.NaN), 0);
  const scatter: Scatter = { logSteps, means, count, withinSquares };
  const useSeeds = withinSquares > 0 && kept.every(({ steps }) => steps.length >= fewestSeeds);
  const found = useSeeds ? seedIntervals(curve, fit, scatter) : residualIntervals(curve, fit, scatter);
  const { low, high } = found.logCriticalBatchSize;
  if (low === Number.NEGATIVE_INFINITY && high === Number.POSITIVE_INFINITY) {
    return unfitted(
      "The runs scatter so much that any critical batch size would do. Add seeds, or batch sizes farther apart.",
    );
  }
  const frontier = {
    ...numbersOf(fit, found),
    rmsLogResidual: Math.sqrt((fit.sumOfSquares + withinSquares) / count),
    runs: count,
    points,
  };
  return {
    fitted: true,
    ...frontier,
    intervals: useSeeds ? "seeds" : "residuals",
    warnings: frontierWarnings(frontier, useSeeds ? excess(fit, scatter) : 1),
  };
}

interface Scatter {
  readonly logSteps: readonly (readonly number[])[];
  readonly means: readonly number[];
  readonly count: number;
  /** Squares of ln S about the mean of its batch size. */
  readonly withinSquares: number;
}

function residualIntervals(curve: FrontierCurve, fit: CurveFit, scatter: Scatter): FrontierIntervals {
  const degrees = scatter.count - 2;
  const residualVariance = (fit.sumOfSquares + scatter.withinSquares) / degrees;
  return profileIntervals(curve, scatter.means, fit, { runs: scatter.count, residualVariance, degrees });
}

/** Where the batch sizes miss the curve by more than their seeds vary, the seeds' deviations are stretched to it (Birge 1932). */
function seedIntervals(curve: FrontierCurve, fit: CurveFit, scatter: Scatter): FrontierIntervals {
  return bootstrapIntervals(curve, scatter.logSteps, fit, Math.sqrt(Math.max(1, excess(fit, scatter))));
}

/** Variance of the batch sizes about the curve over that of the seeds within them: 1 on average where the curve holds. */
function excess(fit: CurveFit, { count, logSteps, withinSquares }: Scatter): number {
  return fit.sumOfSquares / (logSteps.length - 2) / (withinSquares / (count - logSteps.length));
}

function numbersOf(fit: CurveFit, { logMinSteps, logMinUnits, logCriticalBatchSize }: FrontierIntervals) {
  return {
    minSteps: Math.exp(fit.logMinSteps),
    minStepsLow: end(logMinSteps.low),
    minStepsHigh: end(logMinSteps.high),
    minUnits: Math.exp(fit.logMinUnits),
    minUnitsLow: end(logMinUnits.low),
    minUnitsHigh: end(logMinUnits.high),
    criticalBatchSize: Math.exp(fit.logCriticalBatchSize),
    criticalBatchSizeLow: end(logCriticalBatchSize.low),
    criticalBatchSizeHigh: end(logCriticalBatchSize.high),
  };
}

function end(logValue: number): number | undefined {
  return Number.isFinite(logValue) ? Math.exp(logValue) : undefined;
}

function tooFew(points: readonly SweepPoint[], kept: readonly SweepPoint[]): string {
  if (points.length === 0) return "There are no runs.";
  if (kept.length === 0) return "The target was never reached, or by under half of the runs of each batch size.";
  const sizes = (count: number): string => (count === 1 ? "one batch size" : `${count} batch sizes`);
  return points.length === kept.length
    ? `A frontier needs at least ${fewestBatchSizes} batch sizes, and the sweep has ${sizes(points.length)}.`
    : `A frontier needs at least ${fewestBatchSizes} batch sizes where half of the runs reach the target, and of ${sizes(points.length)} only ${kept.length} ${kept.length === 1 ? "does" : "do"}.`;
}

function mean(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0) / values.length;
}

function squaresAbout(values: readonly number[], center: number): number {
  return values.reduce((total, value) => total + (value - center) ** 2, 0);
}

function text(batchSize: number | undefined): string {
  return String(batchSize);
}
