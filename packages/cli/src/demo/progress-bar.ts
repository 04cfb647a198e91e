import type { Terminal } from "../command.ts";

const width = 30;

/** Redraws one line on a terminal; elsewhere (a pipe, a log) writes a line every tenth of the way. */
export class ProgressBar {
  readonly #stream: Terminal["messages"];
  readonly #label: string;
  #lastTenth = 0;

  constructor(stream: Terminal["messages"], label: string) {
    this.#stream = stream;
    this.#label = label;
  }

  update(done: number, total: number, note: string): void {
    const share = done / total;
    if (this.#stream.isTTY === true) {
      const filled = Math.round(share * width);
      const bar = "█".repeat(filled) + "░".repeat(width - filled);
      this.#stream.write(`\r\u001b[2K${this.#label} ${bar} ${done}/${total}  ${note}${done === total ? "\n" : ""}`);
      return;
    }
    const tenth = Math.floor(share * 10);
    if (tenth > this.#lastTenth) {
      this.#lastTenth = tenth;
      this.#stream.write(`${this.#label} ${done}/${total}  ${note}\n`);
    }
  }
}
