import {
  darkTheme,
  lightTheme,
  type PanelData,
  type PanelName,
  panelConfiguration,
  panelDrawsFrom,
  panelMissing,
  panelSubtitle,
  panelText,
  panelTitle,
} from "@noisescale/charts";
import { Chart, type PanelChart, updateChart } from "@noisescale/charts/chart";
import { runAddress } from "./collector-api.ts";
import { element, setText } from "./element.ts";
import { fontsLoaded } from "./fonts.ts";
import { StepReader } from "./step-reader.ts";
import { isStepPanel } from "./step-words.ts";

const dark = matchMedia("(prefers-color-scheme: dark)");

/** A panel of a run that follows its numbers. */
export class PanelCard {
  readonly node: HTMLElement;
  readonly #panel: PanelName;
  readonly #subtitle = element("p", { class: "panel-subtitle" });
  readonly #text = element("p", { class: "panel-text" });
  readonly #missing = element("p", { class: "panel-missing", hidden: true });
  readonly #canvas: HTMLCanvasElement;
  readonly #stepReader: StepReader | undefined;
  #chart: PanelChart | undefined;
  #data: PanelData | undefined;
  /** What the canvas shows. */
  #drawn: PanelData | undefined;

  /** @param run - whose picture and page are offered */
  constructor(panel: PanelName, signal: AbortSignal, run?: string) {
    this.#panel = panel;
    const id = `panel-${panel}`;
    this.#text.id = `${id}-text`;
    this.#canvas = element("canvas", { role: "img", "aria-labelledby": id, "aria-describedby": this.#text.id });
    const frame = element("div", { class: "panel-frame" }, this.#canvas, this.#missing);
    this.node = element(
      "section",
      { class: `card panel panel-${panel}`, "aria-labelledby": id },
      element(
        "header",
        {},
        element("h2", { id }, panelTitle(panel)),
        run === undefined ? null : exportLinks(run, panel),
      ),
      this.#subtitle,
      frame,
      this.#text,
    );
    if (isStepPanel(panel)) {
      this.#stepReader = new StepReader(
        frame,
        this.#canvas,
        this.#text,
        panel,
        () => this.#data && { chart: this.#chart, data: this.#data },
      );
    }
    dark.addEventListener("change", () => this.#draw(), { signal });
    signal.addEventListener("abort", () => {
      this.#data = undefined;
      this.#chart?.destroy();
      this.#stepReader?.close();
    });
  }

  show(data: PanelData): void {
    this.#data = data;
    setText(this.#subtitle, panelSubtitle(this.#panel, data));
    setText(this.#text, panelText(this.#panel, data));
    const missing = panelMissing(this.#panel, data);
    setText(this.#missing, missing ?? "");
    this.#missing.hidden = missing === undefined;
    this.#canvas.hidden = missing !== undefined;
    if (missing === undefined && !this.#isDrawn(data)) void fontsLoaded.then(() => this.#draw());
    this.#drawn = missing === undefined ? data : undefined;
  }

  #isDrawn(data: PanelData): boolean {
    const drawn = this.#drawn;
    return (
      drawn !== undefined &&
      drawn.overlay === data.overlay &&
      panelDrawsFrom(this.#panel).every((source) => drawn[source] === data[source])
    );
  }

  #draw(): void {
    if (this.#data === undefined || this.#canvas.hidden) return;
    const configuration = panelConfiguration(this.#panel, this.#data, dark.matches ? darkTheme : lightTheme);
    if (this.#chart === undefined) this.#chart = new Chart(this.#canvas, configuration);
    else updateChart(this.#chart, configuration);
    this.#stepReader?.refresh();
  }
}

function exportLinks(run: string, panel: PanelName): HTMLElement {
  const link = (kind: "png" | "html", title: string) =>
    element(
      "a",
      { href: runAddress(run, `/panels/${panel}.${kind}`), title, "data-leave": true },
      kind.toUpperCase(),
      element("span", { class: "unseen" }, ` of ${panelTitle(panel)}`),
    );
  return element(
    "span",
    { class: "exports" },
    link("png", "This panel as a picture"),
    link("html", "This panel as a page that stands alone"),
  );
}
