/** What a run is to reach. */
export interface CrossingTarget {
  /** `<=` for a loss, `>=` for an accuracy. */
  readonly comparison: "<=" | ">=";
  readonly value: number;
}

/**
 * The first place where a curve of values over steps meets a target, on the straight line between the two values around
 * it. Values are given in order of step, one at a time.
 */
export class FirstCrossing {
  readonly #target: CrossingTarget;
  #before: { readonly step: number; readonly value: number } | undefined;
  #step: number | undefined;
  #metAtFirst = false;

  constructor(target: CrossingTarget) {
    this.#target = target;
  }

  /** Steps until the target was met, not necessarily whole; undefined while it was not, and where `metAtFirst`. */
  get step(): number | undefined {
    return this.#step;
  }

  /** The very first value meets the target: it was met at some time before, and when is not known. */
  get metAtFirst(): boolean {
    return this.#metAtFirst;
  }

  /** @throws RangeError on a step that is not later */
  add(step: number, value: number): void {
    const before = this.#before;
    if (before !== undefined && !(step > before.step)) {
      throw new RangeError(`step must be above ${before.step}, not ${step}`);
    }
    this.#before = { step, value };
    if (this.#step !== undefined || this.#metAtFirst || !this.#isMet(value)) return;
    if (before === undefined) {
      this.#metAtFirst = true;
      return;
    }
    const share = (before.value - this.#target.value) / (before.value - value);
    this.#step = before.step + share * (step - before.step);
  }

  #isMet(value: number): boolean {
    return this.#target.comparison === "<=" ? value <= this.#target.value : value >= this.#target.value;
  }
}
