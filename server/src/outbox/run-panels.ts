import { type PanelData, panelColumns, panelNames, panelTitle, summaryMarkdown } from "@noisescale/charts";
import type { Delivery, PanelFile, TrackerCapabilities } from "@noisescale/tracker";
import type { RunView } from "../run-view.ts";
import { readSeries } from "../series-reduction.ts";
import type { RunRow, Store } from "../store/store.ts";
import { drawPanel } from "./draw-panel.ts";

/** Rows of the series that a panel draws. */
const panelPoints = 600;
const everyStep = { from: 0, to: Number.MAX_SAFE_INTEGER };

/** A run's panels and note, drawn from what the store holds now. */
export class RunPanels {
  readonly #store: Store;
  readonly #view: RunView;
  readonly #publicUrl: string | undefined;

  /** @param publicUrl - under which people reach the collector's page; undefined: notes have no link */
  constructor(store: Store, view: RunView, publicUrl: string | undefined) {
    this.#store = store;
    this.#view = view;
    this.#publicUrl = publicUrl;
  }

  async data(run: RunRow): Promise<PanelData> {
    const series = await readSeries(this.#store, run, everyStep, panelColumns, panelPoints);
    return { name: run.declaration.name ?? run.run, snapshot: await this.#view.snapshot(run), series };
  }

  /** What a tracker can take of them; undefined where the run is gone or has no measurement. */
  async render(name: string, capabilities: TrackerCapabilities): Promise<Omit<Delivery, "points"> | undefined> {
    const run = await this.#store.findRun(name);
    if (run?.fold === undefined) return undefined;
    const data = await this.data(run);
    const { step, timeMs } = run.fold;
    const link = this.#publicUrl === undefined ? undefined : `${this.#publicUrl}/runs/${encodeURIComponent(name)}`;
    return {
      panels: await drawPanels(data, capabilities.panels, step, timeMs),
      ...(capabilities.note
        ? { note: { markdown: summaryMarkdown(data.name, data.snapshot, link), step, timeMs } }
        : {}),
    };
  }
}

async function drawPanels(
  data: PanelData,
  contentTypes: readonly PanelFile["contentType"][],
  step: number,
  timeMs: number,
): Promise<PanelFile[]> {
  const files: PanelFile[] = [];
  for (const contentType of contentTypes) {
    for (const panel of panelNames) {
      const bytes = await drawPanel(panel, data, contentType);
      files.push({ panel, title: panelTitle(panel), contentType, bytes, step, timeMs });
    }
  }
  return files;
}
