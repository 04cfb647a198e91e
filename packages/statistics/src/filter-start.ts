import { startCorrelation } from "./filter-correlation.ts";
import type { FilterInput } from "./filter-input.ts";
import { startOutliers } from "./filter-outliers.ts";
import { priors, startDriftVariances } from "./filter-priors.ts";
import {
  curvature,
  expertCount,
  type FilterState,
  firstBatchSize,
  gamma,
  inflation,
  interval,
  linear,
  lowerQuantile,
  measurements,
  medianQuantile,
  mixtureVariance,
  quadratic,
  sigma,
  smallestVariance,
  upperQuantile,
} from "./filter-state.ts";
import { startTails } from "./filter-tails.ts";
import { mixExperts } from "./filter-update.ts";

/** Of a component of the observation variance, relative to x or x². */
const largestComponent = 0.45;

/** Mean of tr Σ over the kept measurements; the filter can start where it is positive. */
export function meanCovarianceTrace(kept: readonly FilterInput[]): number {
  return mean(kept.map((input) => input.covarianceTrace));
}

/** Starts the filter: the kept measurements give the first mean, its variance and the parts of the observation variance. */
export function startFilter(state: FilterState, kept: readonly FilterInput[], reference: number): void {
  const { shared } = state;
  const n = kept.length;
  const trace = meanCovarianceTrace(kept);
  const ratios = kept.map((input) => (reference * input.gradientSquaredNorm) / trace);
  const ratio = mean(ratios);
  const variance = sampleVariance(ratios);
  const relativeVariance = sampleVariance(kept.map((input) => input.covarianceTrace / trace));
  const parts = mean(kept.map((input) => input.parts));
  const x = Math.max(ratio, 0.02);
  const left = Math.max(variance - parts * relativeVariance, 0.1 * variance);
  shared[sigma] = trace;
  shared[curvature] = (relativeVariance * (parts - 1)) / 2;
  shared[gamma] = 1;
  shared[linear] = component(left / 2 / x);
  shared[quadratic] = component(left / 2 / (x * x));
  shared[firstBatchSize] = reference;
  shared[measurements] = n;
  shared[interval] = (kept.at(-1) as FilterInput).steps;
  startCorrelation(shared, kept, ratios, ratio, variance);
  startTails(shared);
  startOutliers(shared);
  let total = 0;
  for (const prior of priors) total += prior ** 0.75;
  for (let i = 0; i < expertCount; i += 1) {
    state.signal[i] = ratio;
    state.drift[i] = 0;
    state.signalVariance[i] = Math.max(((4 * variance) / n) * (shared[inflation] as number), smallestVariance);
    state.covariance[i] = 0;
    state.driftVariance[i] = startDriftVariances[i] as number;
    const weight = (priors[i] as number) ** 0.75 / total;
    state.weight[i] = weight;
    state.logWeight[i] = Math.log(weight);
  }
  mixExperts(state);
  const deviation = 2 * Math.sqrt(shared[mixtureVariance] as number);
  shared[lowerQuantile] = ratio - deviation;
  shared[medianQuantile] = ratio;
  shared[upperQuantile] = ratio + deviation;
}

/** Above 0, so that it can be learnt later: it grows and shrinks by factors. */
function component(value: number): number {
  return Math.min(Math.max(value, smallestVariance), largestComponent);
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Bessel's correction: n − 1. */
function sampleVariance(values: readonly number[]): number {
  const center = mean(values);
  return values.reduce((sum, value) => sum + (value - center) ** 2, 0) / (values.length - 1);
}
