import { confidenceQuantile } from "./confidence.ts";
import { fiellerSet } from "./fieller.ts";
import { type NoiseScale, unknownNoiseScale } from "./noise-scale.ts";
import { noiseScaleOfSet } from "./noise-scale-set.ts";
import type { StateReader, StateWriter } from "./state-bytes.ts";

// Places in the state. Q ≈ |G|², S ≈ tr Σ of one step.
const count = 0;
const weight = 1;
const squaredWeight = 2;
const meanQ = 3;
const meanS = 4;
const sumQQ = 5; // weighted sums of products of deviations from the means
const sumQS = 6;
const sumSS = 7;
const lagWeight = 8; // sums over neighbouring measurements, for their correlation
const lagQQ = 9;
const lagQS = 10;
const lagSQ = 11;
const lagSS = 12;
const laterQ = 13;
const laterS = 14;
const earlierQ = 15;
const earlierS = 16;
const firstQ = 17;
const firstS = 18;
const lastQ = 19;
const lastS = 20;
const size = 21;

/** Beyond this correlation of neighbours the widening has no meaning: there is about one measurement. */
const highestCorrelation = 0.99;

/**
 * Exponentially weighted means of |G|² and tr Σ with the second moments of both, so that their ratio has a confidence set.
 * A measurement decays by β = (h − 1)/(h + 1) with each that follows, so that h is the effective number of measurements.
 * Mergeable: fold(A then B) = merge(fold A, fold B).
 */
export class Horizon {
  readonly horizon: number;
  readonly #decay: number;
  readonly #state = new Float64Array(size);

  /** @param horizon - effective number of measurements, > 1 */
  constructor(horizon: number) {
    if (!(horizon > 1)) throw new RangeError(`horizon must be above 1 measurement, not ${horizon}`);
    this.horizon = horizon;
    this.#decay = (horizon - 1) / (horizon + 1);
  }

  /**
   * @param gradientSquaredNorm - one step's estimate of |G|², of either sign
   * @param covarianceTrace - one step's estimate of tr Σ, of either sign
   */
  add(gradientSquaredNorm: number, covarianceTrace: number): void {
    const s = this.#state;
    const decay = this.#decay;
    const q = gradientSquaredNorm;
    const t = covarianceTrace;
    const n = s[count] as number;
    if (n === 0) {
      s[firstQ] = q;
      s[firstS] = t;
    } else {
      const beforeQ = s[lastQ] as number;
      const beforeS = s[lastS] as number;
      s[lagWeight] = decay * (s[lagWeight] as number) + 1;
      s[lagQQ] = decay * (s[lagQQ] as number) + q * beforeQ;
      s[lagQS] = decay * (s[lagQS] as number) + q * beforeS;
      s[lagSQ] = decay * (s[lagSQ] as number) + t * beforeQ;
      s[lagSS] = decay * (s[lagSS] as number) + t * beforeS;
      s[laterQ] = decay * (s[laterQ] as number) + q;
      s[laterS] = decay * (s[laterS] as number) + t;
      s[earlierQ] = decay * (s[earlierQ] as number) + beforeQ;
      s[earlierS] = decay * (s[earlierS] as number) + beforeS;
    }
    const w = decay * (s[weight] as number) + 1;
    const deviationQ = q - (s[meanQ] as number);
    const deviationS = t - (s[meanS] as number);
    const newMeanQ = (s[meanQ] as number) + deviationQ / w;
    const newMeanS = (s[meanS] as number) + deviationS / w;
    s[sumQQ] = decay * (s[sumQQ] as number) + deviationQ * (q - newMeanQ);
    s[sumQS] = decay * (s[sumQS] as number) + deviationQ * (t - newMeanS);
    s[sumSS] = decay * (s[sumSS] as number) + deviationS * (t - newMeanS);
    s[squaredWeight] = decay * decay * (s[squaredWeight] as number) + 1;
    s[weight] = w;
    s[meanQ] = newMeanQ;
    s[meanS] = newMeanS;
    s[lastQ] = q;
    s[lastS] = t;
    s[count] = n + 1;
  }

  /** Number of measurements that were added. */
  get measurements(): number {
    return this.#state[count] as number;
  }

  /** (Σw)²/Σw²; 0 before the first measurement. */
  get effectiveMeasurements(): number {
    const w = this.#state[weight] as number;
    return w === 0 ? 0 : (w * w) / (this.#state[squaredWeight] as number);
  }

  /** Weighted mean of tr Σ; undefined before the first measurement. */
  get covarianceTrace(): number | undefined {
    return this.measurements === 0 ? undefined : this.#state[meanS];
  }

  /**
   * B_simple of the weighted means with Fieller's set at 95 %: t quantile with n_eff − 1 degrees, variances of the means
   * Σw²·s²/(1 − Σw²) for weights that sum to 1, times (1 + ρ)/(1 − ρ) for a correlation ρ > 0 of neighbours.
   */
  noiseScale(): NoiseScale {
    const effective = this.effectiveMeasurements;
    if (this.measurements < 3 || effective <= 2) return unknownNoiseScale;
    const s = this.#state;
    const w = s[weight] as number;
    const numerator = s[meanQ] as number;
    const denominator = s[meanS] as number;
    const scale = this.#correlationWidening(1, -numerator / denominator) / ((effective - 1) * w);
    const set = fiellerSet(
      {
        numerator,
        denominator,
        numeratorVariance: (s[sumQQ] as number) * scale,
        denominatorVariance: (s[sumSS] as number) * scale,
        covariance: (s[sumQS] as number) * scale,
      },
      confidenceQuantile(effective - 1),
    );
    return noiseScaleOfSet(set, numerator, denominator);
  }

  /**
   * Interval of tr Σ's weighted mean at 95 %, with the same variance, t quantile and widening as in `noiseScale`.
   *
   * @returns undefined below 3 measurements
   */
  covarianceTraceInterval(): { readonly low: number; readonly high: number } | undefined {
    const effective = this.effectiveMeasurements;
    if (this.measurements < 3 || effective <= 2) return undefined;
    const s = this.#state;
    const variance =
      ((s[sumSS] as number) * this.#correlationWidening(0, 1)) / ((effective - 1) * (s[weight] as number));
    const margin = confidenceQuantile(effective - 1) * Math.sqrt(variance);
    const mean = s[meanS] as number;
    return { low: mean - margin, high: mean + margin };
  }

  /** The fold of this horizon's measurements followed by those of `later`; neither is changed. */
  merge(later: Horizon): Horizon {
    if (later.horizon !== this.horizon) {
      throw new RangeError(`horizons ${this.horizon} and ${later.horizon} cannot be merged`);
    }
    if (later.measurements === 0) return this.#copy();
    if (this.measurements === 0) return later.#copy();
    const merged = later.#copy();
    const a = this.#state;
    const b = merged.#state;
    const n = b[count] as number;
    const fade = this.#decay ** n;
    const pairFade = this.#decay ** (n - 1);
    for (let place = lagWeight; place <= earlierS; place += 1) {
      b[place] = (b[place] as number) + fade * (a[place] as number);
    }
    const [beforeQ, beforeS] = [a[lastQ] as number, a[lastS] as number];
    const [q, t] = [b[firstQ] as number, b[firstS] as number];
    const boundary = [1, q * beforeQ, q * beforeS, t * beforeQ, t * beforeS, q, t, beforeQ, beforeS];
    boundary.forEach((value, index) => {
      b[lagWeight + index] = (b[lagWeight + index] as number) + pairFade * value;
    });
    const weightA = fade * (a[weight] as number);
    const weightB = b[weight] as number;
    const total = weightA + weightB;
    const shiftQ = (b[meanQ] as number) - (a[meanQ] as number);
    const shiftS = (b[meanS] as number) - (a[meanS] as number);
    const between = (weightA * weightB) / total;
    b[sumQQ] = fade * (a[sumQQ] as number) + (b[sumQQ] as number) + between * shiftQ * shiftQ;
    b[sumQS] = fade * (a[sumQS] as number) + (b[sumQS] as number) + between * shiftQ * shiftS;
    b[sumSS] = fade * (a[sumSS] as number) + (b[sumSS] as number) + between * shiftS * shiftS;
    b[meanQ] = (a[meanQ] as number) + (shiftQ * weightB) / total;
    b[meanS] = (a[meanS] as number) + (shiftS * weightB) / total;
    b[weight] = total;
    b[squaredWeight] = (b[squaredWeight] as number) + fade * fade * (a[squaredWeight] as number);
    b[firstQ] = a[firstQ] as number;
    b[firstS] = a[firstS] as number;
    b[count] = n + (a[count] as number);
    return merged;
  }

  write(writer: StateWriter): void {
    writer.numbers(this.#state);
  }

  static read(reader: StateReader, horizon: number): Horizon {
    const read = new Horizon(horizon);
    reader.fill(read.#state);
    return read;
  }

  #copy(): Horizon {
    const copy = new Horizon(this.horizon);
    copy.#state.set(this.#state);
    return copy;
  }

  /** (1 + ρ)/(1 − ρ) for the lag-one correlation ρ of p·Q + r·S; 1 where it is not positive. */
  #correlationWidening(p: number, r: number): number {
    const s = this.#state;
    const pairs = s[lagWeight] as number;
    const variance =
      (p * p * (s[sumQQ] as number) + 2 * p * r * (s[sumQS] as number) + r * r * (s[sumSS] as number)) /
      (s[weight] as number);
    if (!(variance > 0)) return 1;
    const product =
      p * p * (s[lagQQ] as number) +
      p * r * ((s[lagQS] as number) + (s[lagSQ] as number)) +
      r * r * (s[lagSS] as number);
    const later = p * (s[laterQ] as number) + r * (s[laterS] as number);
    const earlier = p * (s[earlierQ] as number) + r * (s[earlierS] as number);
    const correlation = (product / pairs - (later / pairs) * (earlier / pairs)) / variance;
    if (!(correlation > 0)) return 1;
    const bounded = Math.min(correlation, highestCorrelation);
    return (1 + bounded) / (1 - bounded);
  }
}
