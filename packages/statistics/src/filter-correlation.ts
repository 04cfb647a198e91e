import type { FilterInput } from "./filter-input.ts";
import { logPriors } from "./filter-priors.ts";
import {
  correlation,
  expertCount,
  type FilterState,
  inflation,
  lagProduct,
  lagSquare,
  lastInnovation,
  lastSignal,
  lastTrace,
  measurements,
  mixtureVariance,
} from "./filter-state.ts";

/** Measurements that the autocorrelation is learnt from. */
const memory = 750;
const largestCorrelation = 0.95;
/** In standard deviations, so that an outlier does not pass for correlation. */
const largestInnovation = 3;

/** A measurement without what it shares with the one before. */
export interface WhitenedMeasurement {
  /** Estimate of |G|² [gradient²]. */
  readonly signal: number;
  /** Estimate of tr Σ [gradient²·units]. */
  readonly trace: number;
}

/**
 * Where errors follow y = ρ·(the y before) + white noise, (y − ρ·(the y before))/(1 − ρ) measures the same value with white
 * errors, whose variance is (1 + ρ)/(1 − ρ) times y's (Cochrane and Orcutt 1949). What the experts took for sure under
 * another ρ is corrected first: their variances by the ratio of the inflations, their evidence by its inverse.
 */
export function whiten(state: FilterState, signal: number, trace: number): WhitenedMeasurement {
  const { shared } = state;
  const rho = shared[correlation] as number;
  const inflated = (1 + rho) / (1 - rho);
  const ratio = inflated / (shared[inflation] as number);
  if (ratio !== 1) correctExperts(state, ratio);
  shared[inflation] = inflated;
  const whitened = {
    signal: (signal - rho * (shared[lastSignal] as number)) / (1 - rho),
    trace: (trace - rho * (shared[lastTrace] as number)) / (1 - rho),
  };
  shared[lastSignal] = signal;
  shared[lastTrace] = trace;
  return whitened;
}

/** Autocorrelation of the kept measurements' scaled signals, around their mean and with their variance. */
export function startCorrelation(
  shared: Float64Array,
  kept: readonly FilterInput[],
  ratios: readonly number[],
  mean: number,
  variance: number,
): void {
  let product = 0;
  let last = 0;
  for (const ratio of ratios) {
    const innovation = variance > 0 ? (ratio - mean) / Math.sqrt(variance) : 0;
    product += innovation * last;
    last = innovation;
  }
  const newest = kept.at(-1) as FilterInput;
  shared[lagProduct] = product / (ratios.length - 1);
  shared[lagSquare] = 1;
  shared[lastInnovation] = last;
  shared[lastSignal] = newest.gradientSquaredNorm;
  shared[lastTrace] = newest.covarianceTrace;
  const rho = shrunken(shared, ratios.length);
  shared[correlation] = rho;
  shared[inflation] = (1 + rho) / (1 - rho);
}

/** @param innovation of the measurement as it came, in standard deviations */
export function learnCorrelation(shared: Float64Array, innovation: number): void {
  const z = Math.min(Math.max(innovation, -largestInnovation), largestInnovation);
  const n = Math.min(shared[measurements] as number, memory);
  shared[lagProduct] =
    (shared[lagProduct] as number) + (z * (shared[lastInnovation] as number) - (shared[lagProduct] as number)) / n;
  shared[lagSquare] = (shared[lagSquare] as number) + (z * z - (shared[lagSquare] as number)) / n;
  shared[lastInnovation] = z;
  shared[correlation] = shrunken(shared, n);
}

/** ρ, shrunken to 0 by its own uncertainty: 0 within 1.45 standard errors, which are 1/√n. */
function shrunken(shared: Float64Array, n: number): number {
  const rho = (shared[lagProduct] as number) / Math.max(shared[lagSquare] as number, 1e-3);
  const threshold = 1.45 / Math.sqrt(n);
  return rho > threshold ? Math.min(rho - (threshold * threshold) / rho, largestCorrelation) : 0;
}

function correctExperts(state: FilterState, ratio: number): void {
  const { shared, signalVariance, covariance, driftVariance, logWeight } = state;
  for (let i = 0; i < expertCount; i += 1) {
    signalVariance[i] = (signalVariance[i] as number) * ratio;
    covariance[i] = (covariance[i] as number) * ratio;
    driftVariance[i] = (driftVariance[i] as number) * ratio;
    const prior = logPriors[i] as number;
    logWeight[i] = prior + ((logWeight[i] as number) - prior) / ratio;
  }
  shared[mixtureVariance] = (shared[mixtureVariance] as number) * ratio;
}
