import type { NoiseScale } from "./noise-scale.ts";
import { type NoiseScaleInterval, readInterval, writeInterval } from "./signal-loss.ts";
import type { StateReader, StateWriter } from "./state-bytes.ts";

/** Measurements between two marks. */
const markEvery = 25;
/** Marks over which the noise scale has to have been steady, and within which a jump takes place: 200 measurements each. */
const span = 8;

/**
 * Finds jumps: the noise scale was steady (the intervals of 200 measurements have a value in common), and 200 measurements
 * later its interval lies beyond a factor of what it was, and stays there. A drift, however far it goes, is none, nor is
 * the growth at a run's start; nor what a change of the temperature does to B_simple, which is no change of the data.
 */
export class NoiseScaleJump {
  /** Every 25th measurement's, the latest last. */
  #marks: (NoiseScaleInterval | undefined)[] = [];
  #sinceMark = 0;
  /** What it was before what may be a jump, and for how many marks it has been beyond that. */
  #before: NoiseScaleInterval | undefined;
  #beyond = 0;

  /**
   * @param heldBack - whether the temperature is being changed
   * @param plain - the plain average of the last measurements, asked for only where there may be a jump
   * @param factor - from one interval's end to the other's
   * @returns what it was before the jump that this measurement has made sure of
   */
  add(
    noiseScale: NoiseScale,
    heldBack: boolean,
    plain: () => NoiseScale,
    { factor, dwell }: { readonly factor: number; readonly dwell: number },
  ): NoiseScaleInterval | undefined {
    if (heldBack) {
      this.#forget();
      return undefined;
    }
    this.#sinceMark += 1;
    if (this.#sinceMark < markEvery) return undefined;
    this.#sinceMark = 0;
    const now = intervalOf(noiseScale);
    this.#before ??= this.#steadyBefore();
    if (this.#isBeyond(noiseScale, factor) && this.#isBeyond(plain(), 1)) {
      this.#beyond += 1;
      const before = this.#before;
      if (this.#beyond * markEvery >= dwell) {
        this.#forget();
        return before;
      }
    } else {
      this.#before = undefined;
      this.#beyond = 0;
    }
    this.#marks.push(now);
    if (this.#marks.length > 2 * span) this.#marks.shift();
    return undefined;
  }

  write(writer: StateWriter): void {
    writer.number(this.#marks.length);
    for (const mark of this.#marks) writeInterval(writer, mark);
    writer.number(this.#sinceMark);
    writeInterval(writer, this.#before);
    writer.number(this.#beyond);
  }

  static read(reader: StateReader): NoiseScaleJump {
    const read = new NoiseScaleJump();
    read.#marks = Array.from({ length: reader.number() }, () => readInterval(reader));
    read.#sinceMark = reader.number();
    read.#before = readInterval(reader);
    read.#beyond = reader.number();
    return read;
  }

  /** The last of the older marks, where all of them were known and have a value in common. */
  #steadyBefore(): NoiseScaleInterval | undefined {
    if (this.#marks.length < 2 * span) return undefined;
    let low = 0;
    let high = Number.POSITIVE_INFINITY;
    for (const mark of this.#marks.slice(0, span)) {
      if (mark === undefined) return undefined;
      low = Math.max(low, mark.bSimpleLow);
      high = Math.min(high, mark.bSimpleHigh);
    }
    return low <= high ? this.#marks[span - 1] : undefined;
  }

  /** A value without an upper bound is beyond by its lower one. */
  #isBeyond({ bSimpleLow: low, bSimpleHigh: high }: NoiseScale, factor: number): boolean {
    if (this.#before === undefined) return false;
    if (low !== undefined && low > factor * this.#before.bSimpleHigh) return true;
    return high !== undefined && high < this.#before.bSimpleLow / factor;
  }

  #forget(): void {
    this.#marks = [];
    this.#sinceMark = 0;
    this.#before = undefined;
    this.#beyond = 0;
  }
}

function intervalOf({ bSimple, bSimpleLow, bSimpleHigh }: NoiseScale): NoiseScaleInterval | undefined {
  if (bSimple === undefined || bSimpleLow === undefined || bSimpleHigh === undefined) return undefined;
  return { bSimple, bSimpleLow, bSimpleHigh };
}
