import { experts } from "./filter-experts.ts";
import { mixtureQuantile } from "./normal-mixture.ts";
import type { StateReader, StateWriter } from "./state-bytes.ts";

/** One step's estimates, as the filter reads them. */
export interface FilterInput {
  /** Estimate of tr Σ, of either sign [gradient²·units]. */
  readonly covarianceTrace: number;
  /** Estimate of |G|², of either sign [gradient²]. */
  readonly gradientSquaredNorm: number;
  /** B [units]. */
  readonly batchSize: number;
  /** K = B/b. */
  readonly parts: number;
}

/** The .025, .5 and .975 quantiles of ξ = B₀·|G|²/tr Σ. */
export interface SignalQuantiles {
  readonly lower: number;
  readonly median: number;
  readonly upper: number;
}

/** Measurements that are kept before the filter starts. */
export const startMeasurements = 20;

const size = experts.length;
const priors = Float64Array.from(experts, (expert) => expert.priorWeight);
const priorSum = priors.reduce((sum, prior) => sum + prior, 0);
priors.forEach((prior, i) => {
  priors[i] = prior / priorSum;
});
const logPriors = priors.map(Math.log);
const levelNoises = Float64Array.from(experts, (expert) => expert.levelNoise);
const squaredDriftNoises = Float64Array.from(experts, (expert) => expert.driftNoise ** 2);
const startDriftVariances = Float64Array.from(experts, (expert) => expert.startDrift ** 2);
const driftDampings = Float64Array.from(experts, (expert) => expert.driftDamping);

const evidenceTempering = 0.65;
const weightMemory = 2500;
const fixedShare = 5e-5;
const largestDrift = 0.1;
const smallestVariance = 1e-12;

// Places of what the experts share.
const sigma = 0; // tr Σ
const curvature = 1; // r₂: 1/effective dimensions
const gamma = 2;
const linear = 3; // a₁
const quadratic = 4; // a₂
const mixtureMean = 5;
const mixtureVariance = 6;
const measurements = 7;
const firstBatchSize = 8; // B₀
// The last answer: the next search starts there, so it belongs to the state.
const lowerQuantile = 9;
const medianQuantile = 10;
const upperQuantile = 11;
const sharedSize = 12;

/**
 * The headline estimator: a bank of nine Kalman filters on ξ = B₀·|G|²/tr Σ, weighted by how well each predicted, so that
 * the current value is followed through constant stretches, drifts and jumps. O(1) a measurement, no randomness,
 * sequential (not mergeable). Method and measured coverage: the package's README.
 */
export class SignalFilter {
  readonly #shared = new Float64Array(sharedSize);
  readonly #signal = new Float64Array(size); // ξ
  readonly #drift = new Float64Array(size); // v, relative, a measurement
  readonly #signalVariance = new Float64Array(size); // P
  readonly #covariance = new Float64Array(size); // C
  readonly #driftVariance = new Float64Array(size); // U
  readonly #logWeight = new Float64Array(size);
  readonly #weight = new Float64Array(size); // of logWeight; not part of the state
  readonly #deviation = new Float64Array(size); // of signalVariance; not part of the state
  #start: FilterInput[] = [];

  /** False until enough measurements were seen to start. */
  get started(): boolean {
    return (this.#shared[measurements] as number) > 0;
  }

  /** Measurements that still have to come before the first answer; 0 once started. */
  get missing(): number {
    return this.started ? 0 : Math.max(1, startMeasurements - this.#start.length);
  }

  /** B₀ of ξ [units]. @throws RangeError before the start */
  get referenceBatchSize(): number {
    this.#requireStarted();
    return this.#shared[firstBatchSize] as number;
  }

  /** The current tr Σ [gradient²·units]. @throws RangeError before the start */
  get covarianceTrace(): number {
    this.#requireStarted();
    return this.#shared[sigma] as number;
  }

  /** Mean of ξ. @throws RangeError before the start */
  get signalMean(): number {
    this.#requireStarted();
    return this.#shared[mixtureMean] as number;
  }

  add(input: FilterInput): void {
    if (!this.started) {
      this.#start.push(input);
      if (this.#start.length > startMeasurements) this.#start.shift();
      if (this.#start.length === startMeasurements) this.#tryStart();
      return;
    }
    this.#update(input);
  }

  /** The .025, .5 and .975 quantiles of the mixture of normals. @throws RangeError before the start */
  get quantiles(): SignalQuantiles {
    this.#requireStarted();
    const shared = this.#shared;
    return {
      lower: shared[lowerQuantile] as number,
      median: shared[medianQuantile] as number,
      upper: shared[upperQuantile] as number,
    };
  }

  write(writer: StateWriter): void {
    for (const part of this.#parts()) writer.numbers(part);
    writer.number(this.#start.length);
    for (const input of this.#start) {
      writer.number(input.covarianceTrace);
      writer.number(input.gradientSquaredNorm);
      writer.number(input.batchSize);
      writer.number(input.parts);
    }
  }

  static read(reader: StateReader): SignalFilter {
    const filter = new SignalFilter();
    for (const part of filter.#parts()) reader.fill(part);
    filter.#start = Array.from({ length: reader.number() }, () => ({
      covarianceTrace: reader.number(),
      gradientSquaredNorm: reader.number(),
      batchSize: reader.number(),
      parts: reader.number(),
    }));
    return filter;
  }

  #parts(): Float64Array[] {
    return [
      this.#shared,
      this.#signal,
      this.#drift,
      this.#signalVariance,
      this.#covariance,
      this.#driftVariance,
      this.#logWeight,
    ];
  }

  #requireStarted(): void {
    if (!this.started) throw new RangeError(`the filter starts after ${startMeasurements} measurements`);
  }

  /** Starts from the kept measurements; waits on where their mean of tr Σ is not positive. */
  #tryStart(): void {
    const shared = this.#shared;
    const n = this.#start.length;
    const trace = mean(this.#start.map((input) => input.covarianceTrace));
    if (!(trace > 0)) return;
    const reference = (this.#start[0] as FilterInput).batchSize;
    const ratios = this.#start.map((input) => (reference * input.gradientSquaredNorm) / trace);
    const ratio = mean(ratios);
    const variance = sampleVariance(ratios);
    const relativeVariance = sampleVariance(this.#start.map((input) => input.covarianceTrace / trace));
    const parts = mean(this.#start.map((input) => input.parts));
    const x = Math.max(ratio, 0.02);
    const left = Math.max(variance - parts * relativeVariance, 0.1 * variance);
    shared[sigma] = trace;
    shared[curvature] = (relativeVariance * (parts - 1)) / 2;
    shared[gamma] = 1;
    shared[linear] = Math.min(left / 2 / x, 0.45);
    shared[quadratic] = Math.min(left / 2 / (x * x), 0.45);
    shared[firstBatchSize] = reference;
    shared[measurements] = n;
    let total = 0;
    for (let i = 0; i < size; i += 1) total += (priors[i] as number) ** 0.75;
    for (let i = 0; i < size; i += 1) {
      this.#signal[i] = ratio;
      this.#drift[i] = 0;
      this.#signalVariance[i] = Math.max((4 * variance) / n, smallestVariance);
      this.#covariance[i] = 0;
      this.#driftVariance[i] = startDriftVariances[i] as number;
      this.#logWeight[i] = Math.log((priors[i] as number) ** 0.75 / total);
    }
    this.#mix();
    const deviation = 2 * Math.sqrt(shared[mixtureVariance] as number);
    shared[lowerQuantile] = ratio - deviation;
    shared[medianQuantile] = ratio;
    shared[upperQuantile] = ratio + deviation;
    this.#findQuantiles();
    this.#start = [];
  }

  #update({ covarianceTrace, gradientSquaredNorm, batchSize, parts }: FilterInput): void {
    const shared = this.#shared;
    const reference = shared[firstBatchSize] as number;
    const trace = shared[sigma] as number;
    const previousMean = shared[mixtureMean] as number;
    const previousVariance = shared[mixtureVariance] as number;
    const n = (shared[measurements] as number) + 1;
    shared[measurements] = n;
    const scaledQ = (reference * gradientSquaredNorm) / trace;
    const scaledS = covarianceTrace / trace;
    const shrink = reference / batchSize;

    // Observation variance, shared: with one each the bank favours experts that lag behind a falling ratio.
    const atZero =
      ((shared[gamma] as number) * 2 * (shared[curvature] as number) * parts * shrink * shrink) / (parts - 1);
    const slope = (shared[linear] as number) * shrink;
    const bend = shared[quadratic] as number;
    const x = Math.max(previousMean, 0.02);
    const observationVariance = atZero + slope * x + bend * x * x;

    for (let i = 0; i < size; i += 1) this.#advance(i, scaledQ, scaledS, observationVariance);
    this.#normaliseLogWeights();
    this.#learnVariances(scaledQ, scaledS, previousMean, previousVariance, atZero, slope, bend, n);

    const relativeTrace = scaledS - 1;
    shared[curvature] =
      (shared[curvature] as number) +
      ((relativeTrace * relativeTrace * (parts - 1)) / 2 - (shared[curvature] as number)) / Math.min(n, 400);
    shared[sigma] = Math.max(trace + (covarianceTrace - trace) / Math.min(n, 100), trace / 2);

    this.#mix();
    this.#shareWeights();
    this.#findQuantiles();
  }

  /** One expert: predict, then correct by the innovation in Fieller's form, B₀Q − ξS, which is linear in both. */
  #advance(i: number, scaledQ: number, scaledS: number, observationVariance: number): void {
    let xi = this.#signal[i] as number;
    let v = this.#drift[i] as number;
    let p = this.#signalVariance[i] as number;
    let c = this.#covariance[i] as number;
    let u = this.#driftVariance[i] as number;
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

    this.#signal[i] = xi;
    this.#drift[i] = v;
    this.#signalVariance[i] = p;
    this.#covariance[i] = c;
    this.#driftVariance[i] = u;
    const surprise = Math.log(variance) + Math.min((innovation * innovation) / variance, 100);
    const logWeight = (this.#logWeight[i] as number) - evidenceTempering * 0.5 * surprise;
    this.#logWeight[i] = logWeight + ((logPriors[i] as number) - logWeight) / weightMemory;
  }

  #normaliseLogWeights(): void {
    let largest = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < size; i += 1) largest = Math.max(largest, this.#logWeight[i] as number);
    let total = 0;
    for (let i = 0; i < size; i += 1) total += Math.exp((this.#logWeight[i] as number) - largest);
    const shift = largest + Math.log(total);
    for (let i = 0; i < size; i += 1) this.#logWeight[i] = (this.#logWeight[i] as number) - shift;
  }

  /** Online EM: each component of the observation variance grows by its share of what the innovation showed in excess. */
  #learnVariances(
    scaledQ: number,
    scaledS: number,
    previousMean: number,
    previousVariance: number,
    atZero: number,
    slope: number,
    bend: number,
    n: number,
  ): void {
    const shared = this.#shared;
    const x = Math.max(previousMean, 1e-4);
    const innovation = scaledQ - x * scaledS;
    const r = atZero + slope * x + bend * x * x;
    const excess = (Math.min((innovation * innovation) / (r + previousVariance), 50) - 1) / Math.min(n - 1, 200);
    shared[gamma] = (shared[gamma] as number) * (1 + (excess * atZero) / r);
    shared[linear] = (shared[linear] as number) * (1 + (excess * slope * x) / r);
    shared[quadratic] = (shared[quadratic] as number) * (1 + (excess * bend * x * x) / r);
  }

  #findQuantiles(): void {
    for (let i = 0; i < size; i += 1) {
      this.#weight[i] = Math.exp(this.#logWeight[i] as number);
      this.#deviation[i] = Math.sqrt(this.#signalVariance[i] as number);
    }
    this.#findQuantile(lowerQuantile, 0.025);
    this.#findQuantile(medianQuantile, 0.5);
    this.#findQuantile(upperQuantile, 0.975);
  }

  #findQuantile(place: number, probability: number): void {
    const start = this.#shared[place] as number;
    this.#shared[place] = mixtureQuantile(this.#weight, this.#signal, this.#deviation, probability, start);
  }

  #mix(): void {
    let mixed = 0;
    for (let i = 0; i < size; i += 1) mixed += Math.exp(this.#logWeight[i] as number) * (this.#signal[i] as number);
    let variance = 0;
    for (let i = 0; i < size; i += 1) {
      const off = (this.#signal[i] as number) - mixed;
      variance += Math.exp(this.#logWeight[i] as number) * ((this.#signalVariance[i] as number) + off * off);
    }
    this.#shared[mixtureMean] = mixed;
    this.#shared[mixtureVariance] = variance;
  }

  /** Every expert keeps a small share; one that lives on its share alone starts again from the mixture. */
  #shareWeights(): void {
    const mixed = this.#shared[mixtureMean] as number;
    const variance = this.#shared[mixtureVariance] as number;
    for (let i = 0; i < size; i += 1) {
      const own = (1 - fixedShare) * Math.exp(this.#logWeight[i] as number);
      const share = fixedShare * (priors[i] as number);
      if (share > own) {
        this.#signal[i] = mixed;
        this.#signalVariance[i] = variance;
        this.#drift[i] = 0;
        this.#covariance[i] = 0;
        this.#driftVariance[i] = startDriftVariances[i] as number;
      }
      this.#logWeight[i] = Math.log(own + share);
    }
  }
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Bessel's correction: n − 1. */
function sampleVariance(values: readonly number[]): number {
  const center = mean(values);
  return values.reduce((sum, value) => sum + (value - center) ** 2, 0) / (values.length - 1);
}
