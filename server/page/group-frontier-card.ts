import {
  darkTheme,
  estimateText,
  lightTheme,
  numberText,
  panelsOfSweep,
  type SweepData,
  type SweepPanelName,
  sweepHeadline,
  sweepPanels,
  sweepTarget,
} from "@noisescale/charts";
import { Chart, type PanelChart, updateChart } from "@noisescale/charts/chart";
import type { GroupFrontierAnswer } from "@noisescale/protocol";
import { criticalBatchSizePowerLaw } from "@noisescale/statistics";
import { fetchRunFrontier, fitGroupFrontier, RefusedError } from "./collector-api.ts";
import { element, setText } from "./element.ts";
import { fontsLoaded } from "./fonts.ts";
import { runPath } from "./place.ts";

const dark = matchMedia("(prefers-color-scheme: dark)");

/** The frontier of a group's runs: a field for the target, the fitted curves, and what each run gave. */
export class GroupFrontierCard {
  readonly node: HTMLElement;
  readonly #group: string;
  readonly #signal: AbortSignal;
  readonly #input = element("input", {
    id: "frontier-target",
    name: "target",
    required: true,
    autocomplete: "off",
    spellcheck: "false",
    placeholder: "validation_loss<=0.3",
    "aria-describedby": "frontier-hint",
  });
  readonly #button = element("button", { type: "submit", class: "button" }, "Fit");
  readonly #refusal = element("div", { class: "refusal", role: "alert", hidden: true });
  readonly #answer = element("div", { "aria-live": "polite" });
  readonly #charts: SweepChart[] = [];
  readonly #fitted = new Map<string, GroupFrontierAnswer>();
  #project: string | undefined;

  constructor(group: string, signal: AbortSignal) {
    this.#group = group;
    this.#signal = signal;
    const form = element(
      "form",
      { class: "target-form" },
      element("label", { for: "frontier-target" }, "Target"),
      this.#input,
      this.#button,
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#ask();
    });
    this.node = element(
      "section",
      { class: "card group-frontier", "aria-labelledby": "frontier-title" },
      element("h2", { id: "frontier-title" }, "Critical batch size of this group"),
      element(
        "p",
        { class: "panel-subtitle", id: "frontier-hint" },
        "Fitted to the step at which each run first reached a target: an evaluation's name and value, with >= for an accuracy; loss<= follows the training loss where no run evaluates one.",
      ),
      form,
      this.#refusal,
      this.#answer,
    );
    dark.addEventListener("change", () => this.#draw(), { signal });
    signal.addEventListener("abort", () => {
      for (const chart of this.#charts) chart.close();
    });
  }

  /** Shows what was fitted before. @param run - one of the group's runs, whose project is meant */
  async begin(run: string, project: string): Promise<void> {
    if (this.#project !== undefined) return;
    this.#project = project;
    const { fitted } = await fetchRunFrontier(run, this.#signal);
    for (const answer of fitted) this.#fitted.set(answer.target, answer);
    const last = fitted.toSorted((one, other) => one.time_ms - other.time_ms).at(-1);
    if (last !== undefined) this.#show(last);
  }

  async #ask(): Promise<void> {
    const target = this.#input.value.trim();
    if (target === "" || this.#project === undefined) return;
    this.#button.disabled = true;
    try {
      const answer = await fitGroupFrontier(this.#group, target, this.#project, this.#signal);
      this.#fitted.set(answer.target, answer);
      this.#refusal.hidden = true;
      this.#show(answer);
    } catch (error) {
      if (!this.#signal.aborted) this.#refuse(error);
    } finally {
      this.#button.disabled = false;
    }
  }

  #refuse(error: unknown): void {
    const { message, errors } =
      error instanceof RefusedError ? error : { message: "The collector does not answer.", errors: [] };
    const byReason = Map.groupBy(
      errors.filter(({ path }) => path !== "target"),
      (one) => one.message,
    );
    this.#refusal.replaceChildren(
      element("p", {}, message),
      element(
        "ul",
        {},
        ...[...byReason].map(([reason, own]) =>
          element("li", {}, element("b", {}, own.map(({ path }) => path).join(", ")), `: ${reason}`),
        ),
      ),
    );
    this.#refusal.hidden = false;
  }

  /** The answer in front: its table and words; the charts hold every target that was fitted. */
  #show(answer: GroupFrontierAnswer): void {
    if (this.#input.value === "") this.#input.value = answer.target;
    const data = this.#data(answer);
    const { sentence, basis } = sweepHeadline(data);
    for (const chart of this.#charts.splice(0)) chart.close();
    for (const panel of panelsOfSweep(data)) this.#charts.push(new SweepChart(panel));
    this.#answer.replaceChildren(
      element("p", { class: "verdict-small" }, sentence),
      element("p", { class: "panel-subtitle" }, [basis, ...answer.warnings].join(" ")),
      element("div", { class: "panels" }, ...this.#charts.map(({ node }) => node)),
      runTable(answer),
    );
    void fontsLoaded.then(() => this.#draw(data));
  }

  #shown: SweepData | undefined;

  #draw(data: SweepData | undefined = this.#shown): void {
    this.#shown = data;
    if (data === undefined || this.#signal.aborted) return;
    for (const chart of this.#charts) chart.draw(data);
  }

  #data(last: GroupFrontierAnswer): SweepData {
    // Only targets on the same quantity share an axis of losses.
    const nameOf = ({ target }: GroupFrontierAnswer): string => target.replace(/(<=|>=)[^<>=]*$/, "$1");
    const others = [...this.#fitted.values()].filter(
      (one) => one.target !== last.target && nameOf(one) === nameOf(last),
    );
    const targets = [...others.toSorted((one, other) => other.frontier.target - one.frontier.target), last].map(
      ({ frontier }) => sweepTarget(frontier),
    );
    return {
      name: this.#group,
      unit: last.unit,
      targets,
      powerLaw: criticalBatchSizePowerLaw(
        targets.map(({ target, criticalBatchSize }) => ({ loss: target, criticalBatchSize })),
      ),
    };
  }
}

/** One of a sweep's panels. */
class SweepChart {
  readonly node: HTMLElement;
  readonly #panel: SweepPanelName;
  readonly #canvas: HTMLCanvasElement;
  readonly #text = element("p", { class: "panel-text" });
  #chart: PanelChart | undefined;

  constructor(panel: SweepPanelName) {
    this.#panel = panel;
    const id = `panel-${panel}`;
    this.#text.id = `${id}-text`;
    this.#canvas = element("canvas", { role: "img", "aria-labelledby": id, "aria-describedby": this.#text.id });
    this.node = element(
      "section",
      { class: "panel", "aria-labelledby": id },
      element("h3", { id }, sweepPanels[panel].title),
      element("p", { class: "panel-subtitle" }, sweepPanels[panel].subtitle),
      element("div", { class: "panel-frame" }, this.#canvas),
      this.#text,
    );
  }

  draw(data: SweepData): void {
    setText(this.#text, sweepPanels[this.#panel].text(data));
    const configuration = sweepPanels[this.#panel].configuration(data, dark.matches ? darkTheme : lightTheme);
    if (this.#chart === undefined) this.#chart = new Chart(this.#canvas, configuration);
    else updateChart(this.#chart, configuration);
  }

  close(): void {
    this.#chart?.destroy();
    this.#chart = undefined;
  }
}

function runTable({ runs, target }: GroupFrontierAnswer): HTMLElement {
  const known = (value: number | null): string => (value === null ? "–" : estimateText(value));
  const rows = runs.map(({ run, batch_size, steps, learning_rate, remark }) =>
    element(
      "tr",
      {},
      element(
        "th",
        { scope: "row" },
        element("a", { href: runPath(run) }, run),
        remark === null ? null : element("span", { class: "remark" }, remark),
      ),
      element("td", { class: "number" }, batch_size === null ? "–" : numberText(batch_size)),
      element("td", { class: "number" }, known(steps)),
      element("td", { class: "number" }, learning_rate === null ? "–" : String(learning_rate)),
    ),
  );
  return element(
    "div",
    { class: "sweep-runs" },
    element(
      "table",
      {},
      element("caption", {}, `What each run gave at ${target}`),
      element(
        "thead",
        {},
        element(
          "tr",
          {},
          element("th", { scope: "col" }, "Run"),
          ...["Batch", "Steps", "Rate"].map((column) => element("th", { scope: "col", class: "number" }, column)),
        ),
      ),
      element("tbody", {}, ...rows),
    ),
  );
}
