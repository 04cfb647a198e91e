import type { StateReader, StateWriter } from "./state-bytes.ts";

/**
 * A verdict that changes only once another was seen some number of times more often than it: a single odd measurement (the
 * small batch at an epoch's end) neither changes it nor starts the count anew, as a streak would. Verdicts are numbers; it
 * begins with 0.
 */
export class Dwell {
  #standing = 0;
  #pending = 0;
  #count = 0;

  get standing(): number {
    return this.#standing;
  }

  /** Whether another verdict is being counted. */
  get pending(): boolean {
    return this.#count > 0;
  }

  /**
   * @param dwell - times that a new verdict has to lead by
   * @returns whether the standing verdict has changed
   */
  add(verdict: number, dwell: number): boolean {
    if (this.#count === 0) this.#pending = verdict;
    if (verdict === this.#standing || verdict !== this.#pending) {
      this.#count = Math.max(0, this.#count - 1);
      return false;
    }
    this.#count += 1;
    if (this.#count < dwell) return false;
    this.#standing = verdict;
    this.#count = 0;
    return true;
  }

  write(writer: StateWriter): void {
    writer.number(this.#standing);
    writer.number(this.#pending);
    writer.number(this.#count);
  }

  static read(reader: StateReader): Dwell {
    const read = new Dwell();
    read.#standing = reader.number();
    read.#pending = reader.number();
    read.#count = reader.number();
    return read;
  }
}
