import { startMeasurements } from "./filter-priors.ts";
import type { StateReader, StateWriter } from "./state-bytes.ts";

/** A gap is a gap where it is longer than this many times the mean stretch between two measurements of the form. */
const longestRegular = 3;

/**
 * Where along a run one form of measurement came: with every measurement, with every M-th, late, or no longer. A stretch
 * between two of them is a gap where it is longer than 20 measurements and than three times the mean stretch; the stretch
 * from the run's first measurement counts like the others, and so does the one that is still open.
 */
export class MeasurementGaps {
  #count = 0;
  #total: number;
  #open: number;
  #longest = 0;

  /** @param before - measurements of the run that came before the first of this form */
  constructor(before = 0) {
    this.#total = before;
    this.#open = before;
  }

  /** A measurement of the run. @param present - whether it has this form */
  add(present: boolean): void {
    this.#total += 1;
    this.#open += 1;
    if (!present) return;
    this.#count += 1;
    this.#longest = Math.max(this.#longest, this.#open);
    this.#open = 0;
  }

  /** The last one is not too long ago to speak of now. */
  get current(): boolean {
    return this.#isRegular(this.#open);
  }

  /** The form speaks of the whole run, from its first measurement to now. */
  get wholeRun(): boolean {
    return this.#isRegular(Math.max(this.#longest, this.#open));
  }

  write(writer: StateWriter): void {
    for (const value of [this.#count, this.#total, this.#open, this.#longest]) writer.number(value);
  }

  static read(reader: StateReader): MeasurementGaps {
    const gaps = new MeasurementGaps();
    gaps.#count = reader.number();
    gaps.#total = reader.number();
    gaps.#open = reader.number();
    gaps.#longest = reader.number();
    return gaps;
  }

  #isRegular(stretch: number): boolean {
    return this.#count > 0 && stretch <= Math.max(startMeasurements, (longestRegular * this.#total) / this.#count);
  }
}
