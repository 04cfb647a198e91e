import type { BriefSnapshot, RunDeclarationInput, Snapshot } from "@noisescale/protocol";
import { learningRateFactorAt } from "./learning-rate-factor.ts";

/** What the training loop is asked to change to. */
export interface BatchSizeChange {
  /** Of one optimizer step: `accumulation` micro-batches [units]. */
  readonly batchSize: number;
  /** Micro-batches that one step accumulates: the recommendation over `microBatch`, rounded up. */
  readonly accumulation: number;
  /** On the rate that was in use at `snapshot.batch_size`; null where no rule is known to hold: keep or tune the rate. */
  readonly learningRateFactor: number | null;
  /** The collector's answer that this rests on; `snapshot.recommendation` says the basis and the trade. */
  readonly snapshot: Snapshot | BriefSnapshot;
}

/** How the batch size may follow the recommendation. */
export interface BatchSizeLimits {
  /** Units of one micro-batch; batch sizes are multiples of it. 1. */
  readonly microBatch?: number | undefined;
  /** Fewest and most micro-batches that one step may accumulate; 1, and no limit. */
  readonly minAccumulation?: number | undefined;
  readonly maxAccumulation?: number | undefined;
  /** The batch size stands while the recommendation is within this factor of it, and while it lies in the recommendation's interval; 1.25. */
  readonly hysteresisFactor?: number | undefined;
  /** Largest factor of one change, up or down; 2. */
  readonly maxChangeFactor?: number | undefined;
  /** Measurements that are taken after a change before the next one; 25. */
  readonly measurementsBetween?: number | undefined;
  /** Measurements over which answers in a row have to call for a change the same way before it is made; 10. */
  readonly agreeingMeasurements?: number | undefined;
  /** Steps by which the collector's answer may lag behind the training; 1000. */
  readonly maxAgeSteps?: number | undefined;
}

type Recommended = BriefSnapshot["recommendation"];
type RequiredLimits = { readonly [Name in keyof BatchSizeLimits]-?: number };

const defaults: RequiredLimits = {
  microBatch: 1,
  minAccumulation: 1,
  maxAccumulation: Number.POSITIVE_INFINITY,
  hysteresisFactor: 1.25,
  maxChangeFactor: 2,
  measurementsBetween: 25,
  agreeingMeasurements: 10,
  maxAgeSteps: 1000,
};

/**
 * Decides when a training loop changes its batch size. Every change is relative to the batch size that was measured, so a
 * loop that does not follow, or follows late, is asked again and never told a factor twice.
 */
export class BatchSizeControl {
  readonly #limits: RequiredLimits;
  readonly #optimizer: RunDeclarationInput["optimizer"];
  #last: { readonly attempt: number; readonly step: number } | undefined;
  /** Measurements still to be taken before the next change. */
  #missing = 0;
  /** Answers from before this step say nothing of the batch size after the last change. */
  #fromStep = 0;
  /** The way in which the last answers in a row call for a change, and the measurements of the first of them. */
  #calling: { readonly larger: boolean; readonly since: number } | undefined;

  /** @throws RangeError naming the limit that is wrong */
  constructor(limits: BatchSizeLimits, optimizer: RunDeclarationInput["optimizer"]) {
    this.#limits = checkedLimits(limits);
    this.#optimizer = optimizer;
  }

  /** Tells of a measurement as it is taken, long before the collector answers. */
  measured({ attempt, step }: { readonly attempt: number; readonly step: number }): void {
    this.#last = { attempt, step };
    if (this.#missing === 0) return;
    this.#missing -= 1;
    this.#fromStep = step;
  }

  /** @returns undefined while the batch size stands */
  decide(snapshot: Snapshot | BriefSnapshot): BatchSizeChange | undefined {
    const { batch_size: current, recommendation, measurements } = snapshot;
    const { batch_size: recommended } = recommendation;
    const isKnown = this.#mayDecide(snapshot) && current !== null && recommended !== null;
    if (!isKnown || !this.#isOff(recommendation, recommended, current)) {
      this.#calling = undefined;
      return undefined;
    }
    if (!this.#isAgreed(recommended > current, measurements)) return undefined;
    const accumulation = this.#accumulation(recommended, current);
    const batchSize = accumulation * this.#limits.microBatch;
    if (!this.#isTowards(batchSize, recommended, current)) return undefined;
    this.#calling = undefined;
    this.#missing = this.#limits.measurementsBetween;
    this.#fromStep = (this.#last?.step ?? 0) + 1;
    return {
      batchSize,
      accumulation,
      learningRateFactor: learningRateFactorAt(batchSize, {
        optimizer: this.#optimizer,
        from: current,
        to: recommended,
        factor: recommendation.learning_rate_factor,
      }),
      snapshot,
    };
  }

  #mayDecide({ attempt, identifiable, recommendation, step }: Snapshot | BriefSnapshot): boolean {
    if (!identifiable || recommendation.held_back !== null) return false;
    if (step === null || this.#last === undefined || this.#missing > 0) return false;
    // Another attempt's answer comes of a spool, or of a process that took the run over.
    if (attempt !== this.#last.attempt) return false;
    return step >= this.#fromStep && this.#last.step - step <= this.#limits.maxAgeSteps;
  }

  /** Off by more than the hysteresis, and by more than the recommendation is uncertain. */
  #isOff({ batch_size_low: low, batch_size_high: high }: Recommended, recommended: number, current: number): boolean {
    const { hysteresisFactor } = this.#limits;
    return recommended > current
      ? recommended > current * hysteresisFactor && (low ?? 0) > current
      : current > recommended * hysteresisFactor && (high ?? Number.POSITIVE_INFINITY) < current;
  }

  /** One large gradient may move the estimate, with its whole interval, for a few measurements. */
  #isAgreed(larger: boolean, measurements: number): boolean {
    if (this.#calling?.larger !== larger) this.#calling = { larger, since: measurements };
    return measurements - this.#calling.since >= this.#limits.agreeingMeasurements;
  }

  #accumulation(recommended: number, current: number): number {
    const { maxChangeFactor, maxAccumulation, microBatch, minAccumulation } = this.#limits;
    const wanted = Math.min(Math.max(recommended, current / maxChangeFactor), current * maxChangeFactor);
    const roundedUp = Math.ceil(wanted / microBatch);
    const most = Math.min(Math.floor((current * maxChangeFactor) / microBatch), maxAccumulation);
    return Math.max(Math.min(roundedUp, most), minAccumulation);
  }

  /** Limits and rounding may leave nothing of a change, or turn it round. */
  #isTowards(batchSize: number, recommended: number, current: number): boolean {
    const factor = batchSize / current;
    if (Math.max(factor, 1 / factor) > this.#limits.maxChangeFactor) return false;
    return recommended > current ? batchSize > current : batchSize < current;
  }
}

function checkedLimits(given: BatchSizeLimits): RequiredLimits {
  const stated = Object.entries(given).filter(([, value]) => value !== undefined);
  const limits: RequiredLimits = { ...defaults, ...Object.fromEntries(stated) };
  require(limits, "microBatch", (value) => value > 0 && value < Number.POSITIVE_INFINITY, "a number above 0");
  require(limits, "minAccumulation", (value) => Number.isSafeInteger(value) && value >= 1, "a whole number from 1");
  require(limits, "maxAccumulation", (value) =>
    (Number.isSafeInteger(value) || value === Number.POSITIVE_INFINITY) &&
    value >= limits.minAccumulation, `a whole number from minAccumulation, ${limits.minAccumulation},`);
  require(limits, "hysteresisFactor", (value) => value >= 1, "a number from 1");
  require(limits, "maxChangeFactor", (value) => value > 1, "a number above 1");
  require(limits, "measurementsBetween", (value) => Number.isSafeInteger(value) && value >= 0, "a whole number from 0");
  require(limits, "agreeingMeasurements", (value) =>
    Number.isSafeInteger(value) && value >= 0, "a whole number from 0");
  require(limits, "maxAgeSteps", (value) => value >= 0, "a number from 0");
  return limits;
}

function require(
  limits: RequiredLimits,
  name: keyof RequiredLimits,
  isRight: (value: number) => boolean,
  what: string,
): void {
  const value = limits[name];
  if (!isRight(value)) throw new RangeError(`batchSizeLimits.${name}: must be ${what}, got ${value}`);
}
