import {
  type PanelData,
  type PanelName,
  panelColumns,
  panelsOf,
  panelTitle,
  summaryMarkdown,
} from "@noisescale/charts";
import { drawsPictures } from "@noisescale/charts/draws-pictures";
import type { Delivery, PanelFile, TrackerCapabilities } from "@noisescale/tracker";
import type { RunView } from "../run-view.ts";
import { readSeries } from "../series-reduction.ts";
import type { RunRow, Store } from "../store/store.ts";
import type { PanelRenderer } from "./panel-renderer.ts";

/** Rows of the series that a panel draws. */
const panelPoints = 600;
const everyStep = { from: 0, to: Number.MAX_SAFE_INTEGER };

/** A run's panels and note, drawn from what the store holds now. */
export class RunPanels {
  readonly #store: Store;
  readonly #view: RunView;
  readonly #renderer: PanelRenderer;
  readonly #publicUrl: string | undefined;

  /** @param publicUrl - under which people reach the collector's page; undefined: notes have no link */
  constructor(store: Store, view: RunView, renderer: PanelRenderer, publicUrl: string | undefined) {
    this.#store = store;
    this.#view = view;
    this.#renderer = renderer;
    this.#publicUrl = publicUrl;
  }

  async data(run: RunRow): Promise<PanelData> {
    const series = await readSeries(this.#store, run, everyStep, panelColumns, panelPoints);
    const alerts = await this.#view.alerts(run);
    return { name: run.declaration.name ?? run.run, snapshot: await this.#view.snapshot(run), series, alerts };
  }

  /** What a tracker can take of them; undefined where the run is gone or has no measurement. */
  async render(name: string, capabilities: TrackerCapabilities): Promise<Omit<Delivery, "points"> | undefined> {
    const run = await this.#store.findRun(name);
    if (run?.fold === undefined) return undefined;
    const data = await this.data(run);
    const { step, timeMs } = run.fold;
    const link = this.#publicUrl === undefined ? undefined : `${this.#publicUrl}/runs/${encodeURIComponent(name)}`;
    return {
      panels: await this.#files(data, capabilities, step, timeMs),
      ...(capabilities.panelData ? { panelData: { json: panelDataJson(data), step, timeMs } } : {}),
      ...(capabilities.note
        ? { note: { markdown: summaryMarkdown(data.name, data.snapshot, { link, alerts: data.alerts }), step, timeMs } }
        : {}),
    };
  }

  async draw(panel: PanelName, data: PanelData, contentType: PanelFile["contentType"]): Promise<Uint8Array> {
    return this.#renderer.draw(panel, data, contentType);
  }

  async #files(
    data: PanelData,
    { panels: contentTypes, picturePixelRatio }: TrackerCapabilities,
    step: number,
    timeMs: number,
  ): Promise<PanelFile[]> {
    return Promise.all(
      contentTypes.filter(isDrawn).flatMap((contentType) =>
        panelsOf(data).map(async (panel) => ({
          panel,
          title: panelTitle(panel),
          contentType,
          bytes: await this.#renderer.draw(panel, data, contentType, picturePixelRatio),
          step,
          timeMs,
        })),
      ),
    );
  }
}

function isDrawn(contentType: PanelFile["contentType"]): boolean {
  return contentType !== "image/png" || drawsPictures;
}

/** Digits that a drawn value is told apart by; the whole would be twice as long. */
const keptDigits = 7;

function panelDataJson(data: PanelData): string {
  return JSON.stringify(data, (_key, value: unknown) =>
    typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(keptDigits)) : value,
  );
}
