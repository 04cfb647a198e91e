import { confidenceQuantile } from "./confidence.ts";
import type { CurveFit, FrontierCurve } from "./frontier-curve.ts";
import type { FrontierIntervals, LogInterval } from "./frontier-interval.ts";

const bisections = 60;
const refinements = 60;

/**
 * t intervals from a fit's residuals, by the profile of the sum of squares: a value belongs to the interval if the best
 * curve that has it is no worse than RSS + t²·s², s² = residual variance. Unlike estimate ± t·error it follows the curve's
 * bend, and is without an end where the data set none.
 *
 * Source: Bates and Watts 1988, Nonlinear regression analysis and its applications, section 6.1 (profile t).
 * @param residualVariance - s² of ln S
 * @param degrees - of freedom of s²: runs − 2
 */
export function profileIntervals(
  curve: FrontierCurve,
  meanLogSteps: ArrayLike<number>,
  fit: CurveFit,
  noise: { readonly runs: number; readonly residualVariance: number; readonly degrees: number },
): FrontierIntervals {
  const limit = fit.sumOfSquares + confidenceQuantile(noise.degrees) ** 2 * noise.residualVariance;
  const allowed = (place: number): boolean => curve.at(place, meanLogSteps).sumOfSquares <= limit;
  const inside = [...curve.grid].filter(allowed);
  const first = Math.min(fit.logCriticalBatchSize, ...inside);
  const last = Math.max(fit.logCriticalBatchSize, ...inside);
  const grid = [...curve.grid];
  const below = grid.findLast((place) => place < first) ?? Number.NEGATIVE_INFINITY;
  const above = grid.find((place) => place > last) ?? Number.POSITIVE_INFINITY;
  const critical = {
    low: Number.isFinite(first) ? crossing(below, first, allowed) : first,
    high: Number.isFinite(last) ? crossing(above, last, allowed) : last,
  };
  // Where ln B_crit is given, ln S_min may be off its best by the root of what is left up to the limit.
  const extreme = (side: 1 | -1, level: (fitted: CurveFit) => number): number => {
    const reach = (place: number): number => {
      const fitted = curve.at(place, meanLogSteps);
      return side * level(fitted) + Math.sqrt(Math.max(0, limit - fitted.sumOfSquares) / noise.runs);
    };
    return side * greatest(reach, critical, grid);
  };
  const interval = (level: (fitted: CurveFit) => number): LogInterval => ({
    low: extreme(-1, level),
    high: extreme(1, level),
  });
  return {
    logCriticalBatchSize: critical,
    logMinSteps: interval(({ logMinSteps }) => logMinSteps),
    logMinUnits: interval(({ logMinUnits }) => logMinUnits),
  };
}

/** Where `allowed` ends between a place that is not and one that is; an infinite place is where the grid ends. */
function crossing(outside: number, inside: number, allowed: (place: number) => boolean): number {
  let [out, kept] = [Number.isFinite(outside) ? outside : inside, inside];
  for (let step = 1; !Number.isFinite(outside) && allowed(out); step *= 2) out += outside > 0 ? step : -step;
  for (let iteration = 0; iteration < bisections; iteration += 1) {
    const middle = (out + kept) / 2;
    if (allowed(middle)) kept = middle;
    else out = middle;
  }
  return kept;
}

/** Greatest value over an interval: on the grid and the interval's ends, then by golden section beside the best. */
function greatest(value: (place: number) => number, { low, high }: LogInterval, grid: readonly number[]): number {
  const places = [low, ...grid.filter((place) => place > low && place < high), high];
  const values = places.map(value);
  const best = values.reduce((kept, candidate, i) => (candidate > (values[kept] ?? candidate) ? i : kept), 0);
  const found = values[best] ?? Number.NaN;
  let from = places[Math.max(0, best - 1)] ?? low;
  let to = places[Math.min(places.length - 1, best + 1)] ?? high;
  if (!Number.isFinite(found) || !Number.isFinite(from) || !Number.isFinite(to)) return found;
  const golden = (Math.sqrt(5) - 1) / 2;
  for (let iteration = 0; iteration < refinements; iteration += 1) {
    const [left, right] = [to - golden * (to - from), from + golden * (to - from)];
    if (value(left) > value(right)) to = right;
    else from = left;
  }
  return Math.max(found, value((from + to) / 2));
}
