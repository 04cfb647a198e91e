import type { StateReader, StateWriter } from "./state-bytes.ts";

/** Frontier predicted from one run; averages over the run. Low and high are pointwise outer bounds. */
export interface PredictedFrontier {
  readonly minSteps: number | undefined;
  readonly minStepsLow: number | undefined;
  readonly minStepsHigh: number | undefined;
  /** [units] */
  readonly minUnits: number | undefined;
  readonly minUnitsLow: number | undefined;
  readonly minUnitsHigh: number | undefined;
  /** [units] */
  readonly criticalBatchSize: number | undefined;
  readonly criticalBatchSizeLow: number | undefined;
  readonly criticalBatchSizeHigh: number | undefined;
  /**
   * γ ≤ 1: with the batch size following √(r·𝓑) along the run in place of one fixed size, the frontier is
   * (S/S_min − 1)(E/E_min − 1) = γ. γ = (∫√𝓑 ds)²/(∫𝓑 ds·∫ds) over the least steps s; 1 where 𝓑 does not move.
   */
  readonly adaptiveGain: number | undefined;
  /** The noise scale that the sums are made of. */
  readonly basis: FrontierBasis;
}

export type FrontierBasis = "b_noise" | "b_simple";

/** 1/𝓑 with its bounds [1/units]. */
export interface InverseNoiseScale {
  readonly low: number;
  readonly middle: number;
  readonly high: number;
}

/**
 * Least steps and least units that reach what this run reached, had the batch size been very large or very small:
 *
 *   S_min = Σ Δ_t·x_tB_t/(1 + x_tB_t),  E_min = Σ Δ_t·B_t/(1 + x_tB_t),  B_crit = E_min/S_min,  x_t = max(0, 1/𝓑_t)
 *
 * with B_t the units of the step and Δ_t the steps since the last measurement. It weighs the early, small 𝓑 by the
 * progress made there, where an average of 𝓑 over time does not.
 * Source: McCandlish et al. 2018, arXiv:1812.06162, appendix D (progress of a step at batch size B).
 */
export class FrontierPrediction {
  // Sums of the least steps and of the least units, at x's lower bound, middle and upper bound; then of √𝓑 over the steps.
  readonly #sums = new Float64Array(7);
  readonly #basis: FrontierBasis;

  constructor(basis: FrontierBasis) {
    this.#basis = basis;
  }

  /**
   * @param inverse - 1/𝓑_t with its bounds, which may be negative; the upper one infinite where it is not known
   * @param steps - Δ_t
   * @param units - B_t
   */
  add(inverse: InverseNoiseScale, steps: number, units: number): void {
    this.#addAt(0, inverse.low, steps, units);
    this.#addAt(1, inverse.middle, steps, units);
    this.#addAt(2, inverse.high, steps, units);
    const x = Math.max(0, inverse.middle);
    this.#sums[6] = this.#sum(6) + (steps * Math.sqrt(x) * units) / (1 + x * units);
  }

  /** B_crit so far; undefined while no signal was seen. */
  get criticalBatchSize(): number | undefined {
    return quotient(this.#sum(4), this.#sum(1));
  }

  /** Some signal was seen even at the lower bound of 1/𝓑, so that B_crit has an upper one. */
  get bounded(): boolean {
    return this.#sum(0) > 0;
  }

  estimate(): PredictedFrontier {
    const known = this.#sum(4) > 0;
    const value = (place: number): number | undefined => (known ? this.#sum(place) : undefined);
    return {
      minSteps: value(1),
      minStepsLow: value(0),
      minStepsHigh: value(2),
      minUnits: value(4),
      // More signal means more steps' worth and fewer units: the bounds of the units cross over.
      minUnitsLow: value(5),
      minUnitsHigh: value(3),
      criticalBatchSize: quotient(this.#sum(4), this.#sum(1)),
      criticalBatchSizeLow: quotient(this.#sum(5), this.#sum(2)),
      criticalBatchSizeHigh: quotient(this.#sum(3), this.#sum(0)),
      adaptiveGain: quotient(this.#sum(6) ** 2, this.#sum(4) * this.#sum(1)),
      basis: this.#basis,
    };
  }

  write(writer: StateWriter): void {
    writer.numbers(this.#sums);
  }

  static read(reader: StateReader, basis: FrontierBasis): FrontierPrediction {
    const read = new FrontierPrediction(basis);
    reader.fill(read.#sums);
    return read;
  }

  #sum(place: number): number {
    return this.#sums[place] as number;
  }

  #addAt(place: number, inverse: number, steps: number, units: number): void {
    const ratio = Math.max(0, inverse) * units;
    this.#sums[place] = this.#sum(place) + steps / (1 + 1 / ratio);
    this.#sums[place + 3] = this.#sum(place + 3) + (steps * units) / (1 + ratio);
  }
}

function quotient(units: number, steps: number): number | undefined {
  return steps > 0 ? units / steps : undefined;
}
