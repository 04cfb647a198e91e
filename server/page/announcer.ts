/** Shortest time between two spoken sentences [ms]: a live number that is read out at every change cannot be listened to. */
const everyMs = 20_000;

/** Tells readers who do not see the page that its sentence has changed. */
export class Announcer {
  readonly #node: HTMLElement;
  #spokenMs = Number.NEGATIVE_INFINITY;
  #spoken = "";
  #timer: ReturnType<typeof setTimeout> | undefined;
  #next = "";

  constructor(node: HTMLElement) {
    this.#node = node;
  }

  say(sentence: string): void {
    this.#next = sentence;
    if (this.#timer !== undefined || sentence === this.#spoken) return;
    const wait = Math.max(0, this.#spokenMs + everyMs - performance.now());
    this.#timer = setTimeout(() => this.#speak(), wait);
  }

  /** Another view: what was to be said is not said. */
  clear(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#spoken = "";
    this.#node.textContent = "";
  }

  #speak(): void {
    this.#timer = undefined;
    this.#spokenMs = performance.now();
    this.#spoken = this.#next;
    this.#node.textContent = this.#next;
  }
}
