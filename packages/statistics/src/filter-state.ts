import { experts } from "./filter-experts.ts";
import type { StateReader, StateWriter } from "./state-bytes.ts";

export const expertCount: number = experts.length;

// Places of what the experts share.
export const sigma = 0; // tr Σ
export const curvature = 1; // r₂: 1/effective dimensions
export const gamma = 2;
export const linear = 3; // a₁
export const quadratic = 4; // a₂
export const mixtureMean = 5;
export const mixtureVariance = 6;
export const measurements = 7;
export const firstBatchSize = 8; // B₀
// The last answer: the next search starts there, so it belongs to the state.
export const lowerQuantile = 9;
export const medianQuantile = 10;
export const upperQuantile = 11;
// Autocorrelation of the measurements' errors.
export const lagProduct = 12; // mean of z·(the z before)
export const lagSquare = 13; // mean of z²
export const lastInnovation = 14; // z
export const correlation = 15; // ρ
export const inflation = 16; // (1 + ρ)/(1 − ρ) as the experts' variances have it
export const lastSignal = 17; // Q of the measurement before
export const lastTrace = 18; // S
// Tails of the whitened innovations.
export const meanSquare = 19;
export const meanFourth = 20;
/** Steps between measurements that the drifts are for. */
export const interval = 21;
// Measurements far beyond what was seen before.
export const largestDeviation = 22; // of those lately [standard deviations]
export const outliersInRow = 23; // up to the last measurement
export const rowTrace = 24; // sum of their S
export const recentOutliers = 25; // a number that fades
export const outliers = 26; // left out so far
export const stepsLeftOut = 27; // since the last measurement that was not
const sharedSize = 28;

/** Keeps variances and their components above 0, also where all measurements are equal. */
export const smallestVariance = 1e-12;

/** What the filter knows after a measurement: plain numbers. */
export class FilterState {
  readonly shared: Float64Array = new Float64Array(sharedSize);
  /** ξ of each expert. */
  readonly signal: Float64Array = new Float64Array(expertCount);
  /** v: relative, a measurement. */
  readonly drift: Float64Array = new Float64Array(expertCount);
  /** P. */
  readonly signalVariance: Float64Array = new Float64Array(expertCount);
  /** C. */
  readonly covariance: Float64Array = new Float64Array(expertCount);
  /** U. */
  readonly driftVariance: Float64Array = new Float64Array(expertCount);
  readonly logWeight: Float64Array = new Float64Array(expertCount);
  /** Sums to 1 after each measurement; made of logWeight, so not written. */
  readonly weight: Float64Array = new Float64Array(expertCount);

  get started(): boolean {
    return (this.shared[measurements] as number) > 0;
  }

  write(writer: StateWriter): void {
    for (const part of this.#parts()) writer.numbers(part);
  }

  static read(reader: StateReader): FilterState {
    const state = new FilterState();
    for (const part of state.#parts()) reader.fill(part);
    return state;
  }

  #parts(): Float64Array[] {
    return [
      this.shared,
      this.signal,
      this.drift,
      this.signalVariance,
      this.covariance,
      this.driftVariance,
      this.logWeight,
    ];
  }
}
