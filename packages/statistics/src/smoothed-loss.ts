import type { StateReader, StateWriter } from "./state-bytes.ts";

/** c: the average's centre lies 1/(c + 1), a tenth, of the losses so far behind the last one. */
const concentration = 9;

/**
 * Average of the training loss over a fixed share of the run: the n-th loss enters with the weight c/(n + c − 1), so that
 * loss k of n weighs as k^(c−1). The window grows with the run; runs of different length are smoothed alike, and the
 * delay is one factor on the steps of each, which leaves their ratios, and so a critical batch size, as they are.
 *
 * Source: Shamir and Zhang 2013, arXiv:1212.1824, section 4 (polynomial-decay averaging).
 */
export class SmoothedLoss {
  #count = 0;
  #loss = 0;
  #step = 0;

  /** @param loss - finite */
  add(step: number, loss: number): void {
    this.#count += 1;
    const weight = concentration / (this.#count + concentration - 1);
    // Not as mean + weight·(loss − mean): that difference of two finite numbers may be infinite.
    this.#loss = this.#loss * (1 - weight) + loss * weight;
    this.#step += weight * (step - this.#step);
  }

  /** The average and the step that it stands at, which is averaged like the loss; undefined before the first loss. */
  get value(): { readonly step: number; readonly loss: number } | undefined {
    return this.#count === 0 ? undefined : { step: this.#step, loss: this.#loss };
  }

  write(writer: StateWriter): void {
    for (const number of [this.#count, this.#loss, this.#step]) writer.number(number);
  }

  static read(reader: StateReader): SmoothedLoss {
    const read = new SmoothedLoss();
    read.#count = reader.number();
    read.#loss = reader.number();
    read.#step = reader.number();
    return read;
  }
}
