import { setText } from "./element.ts";

/** A line on top of the page that says that the collector does not answer, and of when the numbers below are. */
export class ConnectionBanner {
  readonly #node: HTMLElement;
  #lostAt: Date | undefined;

  constructor(node: HTMLElement) {
    this.#node = node;
  }

  show(connected: boolean): void {
    if (connected) {
      this.#lostAt = undefined;
      this.#node.hidden = true;
      return;
    }
    this.#lostAt ??= new Date();
    setText(
      this.#node,
      `The collector has not answered since ${this.#lostAt.toLocaleTimeString()}: the numbers may be old. Trying again by itself; if it was stopped, start it again.`,
    );
    this.#node.hidden = false;
  }
}
