import { Dwell } from "./dwell.ts";
import type { StateReader, StateWriter } from "./state-bytes.ts";

export type BatchSizeVerdict = "fine" | "too_large" | "too_small";

/** Recommended batch sizes at the ends of the interval that they rest on [units]; not known is undefined. */
export interface BatchSizeRange {
  readonly low: number | undefined;
  readonly high: number | undefined;
}

/** The recommendation as it is now. */
export interface RecommendedRange extends BatchSizeRange {
  /** It rests on B_simple alone, which no sweep was compared with: an indicator. */
  readonly uncalibrated: boolean;
  /** The same from the plain average of the noise scale that it rests on; asked for only where the batch is off. */
  plain(): BatchSizeRange;
}

export interface BatchSizeDecisionSettings {
  /** How far beyond the recommendation's interval a batch is wasteful: B > factor·high, B < low/factor. */
  readonly factor: number;
  /** Measurements that a verdict has to lead by. */
  readonly dwell: number;
}

/**
 * Measurements of the plain average that has to agree. Chosen on `test/bench/batch-size-decision.ts`: over 200 its own interval is
 * too wide, under heavy tails, to say within 1000 measurements that a batch is 4 times too small.
 */
export const steadyHorizon = 800;

/** A batch that was found wasteful is fine again only once it is inside the factor by this much. */
const hysteresisFactor = 1.25;

const verdicts: readonly BatchSizeVerdict[] = ["fine", "too_large", "too_small"];

/**
 * Whether the batch is wastefully large or needlessly small for the recommendation as it is now. There are two views of that,
 * the filter's interval and the plain average's: one lies beyond the factor, the other on the same side of the batch, the
 * verdict holds, and is told once.
 *
 * Both are asked because under heavy tails one measurement can move the filter's whole interval for some hundred, which is
 * longer than any dwell time that would still be of use, and because the plain average lags behind a noise scale that moves.
 * Either may lie beyond the factor because under heavy tails the filter, which expects changes, stays less sure than the average.
 */
export class BatchSizeDecision {
  #dwell = new Dwell();
  /** Whether the standing verdict rests on an indicator: it is told again once more than that says the same. */
  #uncalibrated = false;

  get verdict(): BatchSizeVerdict {
    return verdicts[this.#dwell.standing] as BatchSizeVerdict;
  }

  /**
   * @param batchSize - units of the step
   * @returns whether the verdict is a new one, or one by an indicator that is now reached by more than that
   */
  add(batchSize: number, recommended: RecommendedRange, { factor, dwell }: BatchSizeDecisionSettings): boolean {
    const verdict = this.#verdictOf(batchSize, recommended, factor);
    // Not known is no vote for anything.
    if (verdict === undefined) return false;
    const changed = this.#dwell.add(verdicts.indexOf(verdict), dwell);
    const restsOnMore =
      this.#uncalibrated &&
      !recommended.uncalibrated &&
      this.verdict !== "fine" &&
      reaches(this.verdict, batchSize, recommended, factor);
    if (changed || restsOnMore) this.#uncalibrated = recommended.uncalibrated;
    return changed || restsOnMore;
  }

  write(writer: StateWriter): void {
    this.#dwell.write(writer);
    writer.number(this.#uncalibrated ? 1 : 0);
  }

  static read(reader: StateReader): BatchSizeDecision {
    const read = new BatchSizeDecision();
    read.#dwell = Dwell.read(reader);
    read.#uncalibrated = reader.number() === 1;
    return read;
  }

  /** Undefined where the end that the standing verdict goes by is not known. */
  #verdictOf(batchSize: number, recommended: RecommendedRange, factor: number): BatchSizeVerdict | undefined {
    for (const verdict of ["too_large", "too_small"] as const) {
      // What stands was confirmed when it was reached.
      const holds = this.verdict === verdict ? stands : reaches;
      if (holds(verdict, batchSize, recommended, factor)) return verdict;
    }
    const { low, high } = recommended;
    if (this.verdict === "too_large" && high === undefined) return undefined;
    if (this.verdict === "too_small" && low === undefined) return undefined;
    return "fine";
  }
}

type Wasteful = Exclude<BatchSizeVerdict, "fine">;

/** One view lies beyond the factor, the other on the same side. */
function reaches(verdict: Wasteful, batchSize: number, now: RecommendedRange, factor: number): boolean {
  if (isBeyond(verdict, batchSize, now, factor)) return isBeyond(verdict, batchSize, now.plain(), 1);
  return isBeyond(verdict, batchSize, now, 1) && isBeyond(verdict, batchSize, now.plain(), factor);
}

/** The filter lies beyond the factor less the hysteresis, or is on that side and the plain average does. */
function stands(verdict: Wasteful, batchSize: number, now: RecommendedRange, factor: number): boolean {
  const inside = factor / hysteresisFactor;
  if (isBeyond(verdict, batchSize, now, inside)) return true;
  return isBeyond(verdict, batchSize, now, 1) && isBeyond(verdict, batchSize, now.plain(), inside);
}

function isBeyond(verdict: Wasteful, batchSize: number, { low, high }: BatchSizeRange, factor: number): boolean {
  if (verdict === "too_large") return high !== undefined && batchSize > factor * high;
  return low !== undefined && batchSize < low / factor;
}
