import type { NoPowerLaw } from "./frontier-power-law.ts";
import { logLine } from "./log-line.ts";

/** Noise scale of a run as a power of its loss: 𝓑(L) = 𝓑∗/L^(1/α). */
export interface NoiseScalePowerLaw {
  readonly fitted: true;
  /** 𝓑∗: at a loss of 1 [units] */
  readonly noiseScaleAtOne: number;
  readonly alpha: number;
  /** Root of the mean square of ln 𝓑 − line. */
  readonly rmsLogResidual: number;
  /** Share of the variance of ln 𝓑 over the parts that lines through the other parts foretell. */
  readonly foretold: number;
}

/** Part of a run: means over its measurements. */
export interface LossPoint {
  readonly loss: number;
  /** Geometric mean [units]. */
  readonly noiseScale: number;
  /** Geometric mean; undefined where it is not known throughout [units]. */
  readonly noiseScaleLow: number | undefined;
  /** As the lower one [units]. */
  readonly noiseScaleHigh: number | undefined;
}

/** A measurement with both its loss and its noise scale. */
export interface LossMeasurement {
  /** Mean per unit over the batch. */
  readonly loss: number;
  readonly noiseScale: number;
  readonly noiseScaleLow: number | undefined;
  readonly noiseScaleHigh: number | undefined;
}

/** Most parts that a run is cut into. */
const mostParts = 32;
/** Fewest measurements of a part: one batch's loss scatters, and scatter in L would flatten the line. */
const fewestMeasurements = 8;
const fewestParts = 6;
/** A loss that moves by less than this factor has no power law to show. */
const leastLossFactor = 1.2;
/** Least share of the variance of ln 𝓑 that a line foretells which is said to hold: one part alone can set no line. */
const leastForetold = 0.5;

/** Parts of a run of about as many measurements each, in order; a loss that is not above 0 has no logarithm and is left out. */
export function lossPoints(run: readonly LossMeasurement[]): LossPoint[] {
  const positive = run.filter(({ loss }) => loss > 0 && loss < Number.POSITIVE_INFINITY);
  const parts = Math.min(mostParts, Math.floor(positive.length / fewestMeasurements));
  return Array.from({ length: parts }, (_, part) => {
    const own = positive.slice(
      Math.round((part * positive.length) / parts),
      Math.round(((part + 1) * positive.length) / parts),
    );
    return {
      loss: mean(own.map(({ loss }) => loss)),
      noiseScale: geometricMean(own.map(({ noiseScale }) => noiseScale)) ?? Number.NaN,
      noiseScaleLow: geometricMean(own.map(({ noiseScaleLow }) => noiseScaleLow)),
      noiseScaleHigh: geometricMean(own.map(({ noiseScaleHigh }) => noiseScaleHigh)),
    };
  });
}

/**
 * Line of ln 𝓑 against ln L through parts of one run by least squares. The parts follow one another, so that no interval
 * is claimed; where the line foretells less than half, or rises, there is a reason in its place.
 *
 * Source: Kaplan et al. 2020, Scaling laws for neural language models, arXiv:2001.08361, equation 1.4, for B_crit.
 */
export function noiseScalePowerLaw(points: readonly LossPoint[]): NoiseScalePowerLaw | NoPowerLaw {
  const unfitted = (reason: string): NoPowerLaw => ({ fitted: false, reason });
  if (points.length < fewestParts) {
    return unfitted(
      `A power law needs at least ${fewestParts * fewestMeasurements} measurements with a loss and a noise scale.`,
    );
  }
  const losses = points.map(({ loss }) => loss);
  if (Math.max(...losses) < leastLossFactor * Math.min(...losses)) {
    return unfitted("The loss has moved too little to show a power law.");
  }
  const line = logLine(points.map(({ loss, noiseScale }) => [loss, noiseScale]));
  if (!(line.slope < 0)) return unfitted("The noise scale does not grow as the loss falls: no power law in this run.");
  if (!(line.foretold >= leastForetold)) {
    return unfitted(
      "A power of the loss foretells less than half of how the noise scale moved from one part of the run to another: no power law in this run.",
    );
  }
  return {
    fitted: true,
    noiseScaleAtOne: Math.exp(line.intercept),
    alpha: -1 / line.slope,
    rmsLogResidual: line.rmsLogResidual,
    foretold: line.foretold,
  };
}

function mean(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0) / values.length;
}

function geometricMean(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined);
  return known.length < values.length ? undefined : Math.exp(mean(known.map(Math.log)));
}
