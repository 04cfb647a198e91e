import { learnCorrelation, whiten } from "./filter-correlation.ts";
import { experts } from "./filter-experts.ts";
import type { FilterInput } from "./filter-input.ts";
import { isOutlier } from "./filter-outliers.ts";
import { logPriors, priors, startDriftVariances } from "./filter-priors.ts";
import {
  curvature,
  expertCount,
  type FilterState,
  firstBatchSize,
  gamma,
  inflation,
  interval,
  linear,
  measurements,
  mixtureMean,
  mixtureVariance,
  quadratic,
  sigma,
  smallestVariance,
  stepsLeftOut,
} from "./filter-state.ts";
import { learnTails } from "./filter-tails.ts";

const levelNoises = Float64Array.from(experts, (expert) => expert.levelNoise);
const squaredDriftNoises = Float64Array.from(experts, (expert) => expert.driftNoise ** 2);
const driftDampings = Float64Array.from(experts, (expert) => expert.driftDamping);

const evidenceTempering = 0.67;
const largestSurprise = 32;
const weightMemory = 1600;
const fixedShare = 2.5e-5;
const largestDrift = 0.1;
/** Times the steps between two measurements before, over which a drift is carried on. */
const mostStretch = 4;

/**
 * One measurement of a started filter; the state is changed in place.
 *
 * @returns false where the measurement was left out, as an outlier
 */
export function updateFilter(
  state: FilterState,
  { covarianceTrace, gradientSquaredNorm, batchSize, parts, steps }: FilterInput,
): boolean {
  const shared = state.shared;
  const reference = shared[firstBatchSize] as number;
  const shrink = reference / batchSize;
  const atZero =
    ((shared[gamma] as number) * 2 * (shared[curvature] as number) * parts * shrink * shrink) / (parts - 1);
  const slope = (shared[linear] as number) * shrink;
  const bend = shared[quadratic] as number;
  const at = Math.max(shared[mixtureMean] as number, 1e-4);
  const variance = atZero + slope * at + bend * at * at;

  const elapsed = (shared[stepsLeftOut] as number) + steps;
  const raw = (reference * gradientSquaredNorm - at * covarianceTrace) / (shared[sigma] as number);
  const deviation = Math.abs(raw) / Math.sqrt(variance + (shared[mixtureVariance] as number));
  if (isOutlier(shared, deviation, covarianceTrace, parts)) {
    shared[stepsLeftOut] = elapsed;
    return false;
  }
  shared[stepsLeftOut] = 0;

  const trace = shared[sigma] as number; // a change of all gradients' scale may just have moved it
  const whitened = whiten(state, gradientSquaredNorm, covarianceTrace);
  const n = (shared[measurements] as number) + 1;
  shared[measurements] = n;
  const scaledQ = (reference * gradientSquaredNorm) / trace;
  const scaledS = covarianceTrace / trace;
  const whiteQ = (reference * whitened.signal) / trace;
  const whiteS = whitened.trace / trace;

  // Observation variance, shared: with one each the bank favours experts that lag behind a falling ratio.
  const x = Math.max(shared[mixtureMean] as number, 0.02);
  const inflated = shared[inflation] as number;
  const observationVariance = (atZero + slope * x + bend * x * x) * inflated;
  const previousVariance = shared[mixtureVariance] as number;

  restep(state, elapsed, steps);
  for (let i = 0; i < expertCount; i += 1) advance(state, i, whiteQ, whiteS, observationVariance);
  normaliseWeights(state);

  // Online EM: each component of the observation variance grows by its share of what the innovation showed in excess.
  const innovation = whiteQ - at * whiteS;
  const square = (innovation * innovation) / (variance * inflated + previousVariance);
  const excess = (Math.min(square, 50) - 1) / Math.min(n - 1, 125);
  shared[gamma] = (shared[gamma] as number) * (1 + (excess * atZero) / variance);
  shared[linear] = (shared[linear] as number) * (1 + (excess * slope * at) / variance);
  shared[quadratic] = (shared[quadratic] as number) * (1 + (excess * bend * at * at) / variance);
  learnTails(shared, square);
  learnCorrelation(shared, (scaledQ - at * scaledS) / Math.sqrt(variance));

  const relativeTrace = scaledS - 1;
  shared[curvature] =
    (shared[curvature] as number) +
    ((relativeTrace * relativeTrace * (parts - 1)) / 2 - (shared[curvature] as number)) / Math.min(n, 450);
  shared[sigma] = Math.max(trace + (covarianceTrace - trace) / Math.min(n, 100), trace / 2);

  mixExperts(state);
  shareWeights(state);
  return true;
}

/**
 * Drifts are for one measurement: they grow with the steps between two. What was learned over steps close together says nothing
 * of many more (outliers left out on the way aside): carried on, a drift of hundredths would become one of all there is. There drifts are as unknown as at the start.
 */
function restep({ shared, drift, covariance, driftVariance }: FilterState, elapsed: number, steps: number): void {
  const before = shared[interval] as number;
  const ratio = elapsed / before;
  if (ratio === 1) return;
  shared[interval] = elapsed;
  for (let i = 0; i < expertCount; i += 1) {
    if (steps / before > mostStretch) {
      drift[i] = 0;
      covariance[i] = 0;
      driftVariance[i] = startDriftVariances[i] as number;
      continue;
    }
    drift[i] = (drift[i] as number) * ratio;
    covariance[i] = (covariance[i] as number) * ratio;
    driftVariance[i] = (driftVariance[i] as number) * ratio * ratio;
  }
}

/** One expert: predict, then correct by the innovation in Fieller's form, B₀Q − ξS, which is linear in both. */
function advance(state: FilterState, i: number, scaledQ: number, scaledS: number, observationVariance: number): void {
  let xi = state.signal[i] as number;
  let v = state.drift[i] as number;
  let p = state.signalVariance[i] as number;
  let c = state.covariance[i] as number;
  let u = state.driftVariance[i] as number;
  const damping = driftDampings[i] as number;
  const noise = levelNoises[i] as number;
  const factor = damping === 0 ? 1 : Math.exp(Math.min(Math.max(v, -largestDrift), largestDrift));
  const predicted = factor * factor * (p + 2 * xi * c + xi * xi * u) + noise * noise * (xi * xi + p);
  c = factor * (c + xi * u) * damping;
  u = damping * damping * u + (squaredDriftNoises[i] as number);
  p = Math.max(predicted, smallestVariance);
  xi *= factor;
  v *= damping;

  const innovation = scaledQ - xi * scaledS;
  const variance = p + observationVariance;
  const gain = p / variance;
  xi += gain * innovation;
  v += (c / variance) * innovation;
  u = Math.max(u - (c * c) / variance, 0);
  c *= 1 - gain;
  p = Math.max(p * (1 - gain), smallestVariance);

  state.signal[i] = xi;
  state.drift[i] = v;
  state.signalVariance[i] = p;
  state.covariance[i] = c;
  state.driftVariance[i] = u;
  const surprise = Math.log(variance) + Math.min((innovation * innovation) / variance, largestSurprise);
  const logWeight = (state.logWeight[i] as number) - evidenceTempering * 0.5 * surprise;
  state.logWeight[i] = logWeight + ((logPriors[i] as number) - logWeight) / weightMemory;
}

/** Log weights to weights that sum to 1. */
function normaliseWeights({ logWeight, weight }: FilterState): void {
  let largest = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < expertCount; i += 1) largest = Math.max(largest, logWeight[i] as number);
  let total = 0;
  for (let i = 0; i < expertCount; i += 1) {
    const relative = Math.exp((logWeight[i] as number) - largest);
    weight[i] = relative;
    total += relative;
  }
  for (let i = 0; i < expertCount; i += 1) weight[i] = (weight[i] as number) / total;
}

/** Mean and variance of the mixture of the experts. */
export function mixExperts({ shared, signal, signalVariance, weight }: FilterState): void {
  let mixed = 0;
  for (let i = 0; i < expertCount; i += 1) mixed += (weight[i] as number) * (signal[i] as number);
  let variance = 0;
  for (let i = 0; i < expertCount; i += 1) {
    const off = (signal[i] as number) - mixed;
    variance += (weight[i] as number) * ((signalVariance[i] as number) + off * off);
  }
  shared[mixtureMean] = mixed;
  shared[mixtureVariance] = variance;
}

/** Every expert keeps a small share; one that lives on its share alone starts again from the mixture. */
function shareWeights(state: FilterState): void {
  const mixed = state.shared[mixtureMean] as number;
  const variance = state.shared[mixtureVariance] as number;
  for (let i = 0; i < expertCount; i += 1) {
    const own = (1 - fixedShare) * (state.weight[i] as number);
    const share = fixedShare * (priors[i] as number);
    if (share > own) {
      state.signal[i] = mixed;
      state.signalVariance[i] = variance;
      state.drift[i] = 0;
      state.covariance[i] = 0;
      state.driftVariance[i] = startDriftVariances[i] as number;
    }
    state.weight[i] = own + share;
    state.logWeight[i] = Math.log(own + share);
  }
}
