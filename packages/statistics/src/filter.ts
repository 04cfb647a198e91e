import type { FilterInput } from "./filter-input.ts";
import { withoutOutliers } from "./filter-outliers.ts";
import { startMeasurements, widenings } from "./filter-priors.ts";
import { meanCovarianceTrace, startFilter } from "./filter-start.ts";
import {
  expertCount,
  FilterState,
  firstBatchSize,
  lowerQuantile,
  medianQuantile,
  mixtureMean,
  outliers,
  sigma,
  upperQuantile,
} from "./filter-state.ts";
import { tailWidening } from "./filter-tails.ts";
import { updateFilter } from "./filter-update.ts";
import { mixtureQuantile } from "./normal-mixture.ts";
import type { StateReader, StateWriter } from "./state-bytes.ts";

/** The median of ξ = B₀·|G|²/tr Σ and the ends of its 95 % interval. */
export interface SignalQuantiles {
  readonly lower: number;
  readonly median: number;
  readonly upper: number;
}

/** Of the weights at the ends of the interval. */
const endTempering = 0.85;

/**
 * The headline estimator: a bank of ten Kalman filters on ξ = B₀·|G|²/tr Σ, weighted by how well each predicted, so that
 * the current value is followed through constant stretches, drifts and jumps. O(1) a measurement, no randomness,
 * sequential (not mergeable). Method and measured coverage: docs/filter.md.
 */
export class SignalFilter {
  // Made of the state for the quantiles, and not part of it.
  readonly #deviation = new Float64Array(expertCount);
  readonly #endWeight = new Float64Array(expertCount);
  #state = new FilterState();
  #kept: FilterInput[] = [];
  #reference: number | undefined;

  /** False until enough measurements were seen to start. */
  get started(): boolean {
    return this.#state.started;
  }

  /** Measurements that still have to come before the first answer; 0 once started. */
  get missing(): number {
    return this.started ? 0 : Math.max(1, startMeasurements - this.#kept.length);
  }

  /**
   * Waiting although enough measurements came: their mean of tr Σ is not positive, which parts that are what they should
   * be cannot give (their mean squared norm is never below the squared norm of their mean).
   */
  get withoutNoise(): boolean {
    return !this.started && this.#kept.length === startMeasurements;
  }

  /** Measurements so far that were left out: far beyond all before them, and not the first of a lasting change. */
  get outliers(): number {
    return this.#state.shared[outliers] as number;
  }

  /** B₀ of ξ [units]. @throws RangeError before the start */
  get referenceBatchSize(): number {
    return this.#shared(firstBatchSize);
  }

  /** The current tr Σ [gradient²·units]. @throws RangeError before the start */
  get covarianceTrace(): number {
    return this.#shared(sigma);
  }

  /** Mean of ξ. @throws RangeError before the start */
  get signalMean(): number {
    return this.#shared(mixtureMean);
  }

  /**
   * The median of the mixture of normals, and the .025 and .975 quantiles of a wider mixture: of wider normals where tails
   * are heavy, and with weights nearer to each other, for experts that turn out right too late.
   *
   * @throws RangeError before the start
   */
  get quantiles(): SignalQuantiles {
    return {
      lower: this.#shared(lowerQuantile),
      median: this.#shared(medianQuantile),
      upper: this.#shared(upperQuantile),
    };
  }

  add(input: FilterInput): void {
    if (this.started) {
      if (!updateFilter(this.#state, input)) return;
    } else {
      this.#reference ??= input.batchSize;
      this.#kept.push(input);
      if (this.#kept.length > startMeasurements) this.#kept.shift();
      if (this.#kept.length < startMeasurements) return;
      const plausible = withoutOutliers(this.#kept);
      if (plausible.length < startMeasurements) {
        const { shared } = this.#state;
        shared[outliers] = (shared[outliers] as number) + startMeasurements - plausible.length;
        this.#kept = plausible;
        return;
      }
      if (!(meanCovarianceTrace(this.#kept) > 0)) return;
      startFilter(this.#state, this.#kept, this.#reference);
      this.#kept = [];
    }
    this.#findQuantiles();
  }

  write(writer: StateWriter): void {
    this.#state.write(writer);
    writer.number(this.#reference ?? 0);
    writer.number(this.#kept.length);
    for (const input of this.#kept) {
      writer.number(input.covarianceTrace);
      writer.number(input.gradientSquaredNorm);
      writer.number(input.batchSize);
      writer.number(input.parts);
      writer.number(input.steps);
    }
  }

  static read(reader: StateReader): SignalFilter {
    const filter = new SignalFilter();
    filter.#state = FilterState.read(reader);
    const reference = reader.number();
    filter.#reference = reference === 0 ? undefined : reference;
    filter.#kept = Array.from({ length: reader.number() }, () => ({
      covarianceTrace: reader.number(),
      gradientSquaredNorm: reader.number(),
      batchSize: reader.number(),
      parts: reader.number(),
      steps: reader.number(),
    }));
    return filter;
  }

  #shared(place: number): number {
    if (!this.started) throw new RangeError(`the filter starts after ${startMeasurements} measurements`);
    return this.#state.shared[place] as number;
  }

  #findQuantiles(): void {
    const { shared, signalVariance, weight, logWeight } = this.#state;
    for (let i = 0; i < expertCount; i += 1) this.#deviation[i] = Math.sqrt(signalVariance[i] as number);
    this.#findQuantile(medianQuantile, 0.5, weight);
    const tails = tailWidening(shared);
    let total = 0;
    for (let i = 0; i < expertCount; i += 1) {
      this.#deviation[i] = (this.#deviation[i] as number) * tails * (widenings[i] as number);
      this.#endWeight[i] = Math.exp(endTempering * (logWeight[i] as number));
      total += this.#endWeight[i] as number;
    }
    for (let i = 0; i < expertCount; i += 1) this.#endWeight[i] = (this.#endWeight[i] as number) / total;
    this.#findQuantile(lowerQuantile, 0.025, this.#endWeight);
    this.#findQuantile(upperQuantile, 0.975, this.#endWeight);
  }

  #findQuantile(place: number, probability: number, weights: Float64Array): void {
    const { shared, signal } = this.#state;
    shared[place] = mixtureQuantile(weights, signal, this.#deviation, probability, shared[place] as number);
  }
}
