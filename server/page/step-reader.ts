import type { PanelData } from "@noisescale/charts";
import type { PanelChart } from "@noisescale/charts/chart";
import { element, setText } from "./element.ts";
import { type StepPanel, stepWords } from "./step-words.ts";

/** The same step in every panel whose axis is the step. */
const readers = new Set<StepReader>();

/**
 * Reads a step's numbers off a panel: with the pointer, or with the arrow keys when the panel has the focus. They stand
 * where the panel's text does, so that nothing moves and nothing is covered.
 */
export class StepReader {
  readonly #panel: StepPanel;
  readonly #current: () => { readonly chart: PanelChart | undefined; readonly data: PanelData } | undefined;
  readonly #line = element("div", { class: "reader-line", hidden: true });
  readonly #words = element("output", { class: "reader-words", hidden: true });
  readonly #text: HTMLElement;
  #row: number | undefined;

  /** @param text - what gives way to the step's numbers */
  constructor(
    frame: HTMLElement,
    canvas: HTMLCanvasElement,
    text: HTMLElement,
    panel: StepPanel,
    current: () => { readonly chart: PanelChart | undefined; readonly data: PanelData } | undefined,
  ) {
    this.#panel = panel;
    this.#current = current;
    canvas.tabIndex = 0;
    this.#text = text;
    frame.append(this.#line);
    text.after(this.#words);
    readers.add(this);
    canvas.addEventListener("pointermove", (event) => readStep(this.#stepAt(event.offsetX)));
    canvas.addEventListener("pointerleave", () => readStep(undefined));
    canvas.addEventListener("blur", () => readStep(undefined));
    canvas.addEventListener("keydown", (event) => this.#move(event));
  }

  /** Forgets a panel that has left the page. */
  close(): void {
    readers.delete(this);
  }

  /** Shows the row at or before this step. */
  read(step: number | undefined): void {
    const steps = this.#current()?.data.series.step ?? [];
    const row = step === undefined ? -1 : steps.findLastIndex((candidate) => candidate <= step);
    this.#row = row < 0 ? undefined : row;
    this.refresh();
  }

  refresh(): void {
    const { chart, data } = this.#current() ?? {};
    const step = this.#row === undefined ? undefined : data?.series.step[this.#row];
    const shown = chart !== undefined && data !== undefined && this.#row !== undefined && step !== undefined;
    this.#line.hidden = !shown;
    this.#words.hidden = !shown;
    this.#text.hidden = shown;
    if (!shown || this.#row === undefined) return;
    const { chartArea, scales } = chart;
    const left = scales["x"]?.getPixelForValue(step) ?? chartArea.left;
    this.#line.style.left = `${left}px`;
    this.#line.style.top = `${chartArea.top}px`;
    this.#line.style.height = `${chartArea.bottom - chartArea.top}px`;
    setText(this.#words, stepWords(this.#panel, data, this.#row));
  }

  #stepAt(pixel: number): number | undefined {
    const { chart, data } = this.#current() ?? {};
    const value = chart?.scales["x"]?.getValueForPixel(pixel);
    if (value === undefined || data === undefined) return undefined;
    const { step } = data.series;
    const after = step.findIndex((candidate) => candidate >= value);
    const [right, left] = [step[after], step[after - 1]];
    if (right === undefined) return step.at(-1);
    return left !== undefined && value - left < right - value ? left : right;
  }

  #move(event: KeyboardEvent): void {
    const steps = this.#current()?.data.series.step ?? [];
    const last = steps.length - 1;
    const page = Math.max(1, Math.round(steps.length / 10));
    const from = this.#row ?? last;
    const moves = new Map([
      ["ArrowLeft", from - 1],
      ["ArrowRight", from + 1],
      ["PageUp", from - page],
      ["PageDown", from + page],
      ["Home", 0],
      ["End", last],
    ]);
    const to = moves.get(event.key);
    if (event.key === "Escape") readStep(undefined);
    if (to === undefined) return;
    event.preventDefault();
    readStep(steps[Math.min(Math.max(to, 0), last)]);
  }
}

function readStep(step: number | undefined): void {
  for (const reader of readers) reader.read(step);
}
