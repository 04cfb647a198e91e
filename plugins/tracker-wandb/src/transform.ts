import { createHash } from "node:crypto";
import type { PanelFile, Point, TrackerAlert } from "@noisescale/tracker";
import type { WandbAlert } from "./client.ts";

/** The metric that the charts have as their axis: W&B counts `_step` by rows. */
export const stepKey = "noise_scale/step";

/** An alert of the same title is not sent again within this [ms]: longer than a delivery is tried again after. */
const alertWaitMs = 10 * 60_000;

/** A row of a run's history. */
export type WandbRow = Readonly<Record<string, unknown>>;

/**
 * Points as rows of history, those of one step and time together, in their order. The same points make the same rows at the
 * same offset, so that writing them again changes nothing.
 *
 * @param offset - of the first row in the writer's stream; W&B wants `_step` to rise with every row
 */
export function pointRows(points: readonly Point[], offset: number): WandbRow[] {
  const rows: Map<string, unknown>[] = [];
  const last = new Map<string, Map<string, unknown>>();
  for (const { key, step, timeMs, value } of points) {
    const moment = `${step} ${timeMs}`;
    let row = last.get(moment);
    if (row === undefined || row.has(key)) {
      row = new Map(moments(offset + rows.length, step, timeMs));
      rows.push(row);
      last.set(moment, row);
    }
    row.set(key, value);
  }
  return rows.map((row) => Object.fromEntries(row));
}

/** Panels as files of the run, by name: the name changes with what is in it, as W&B's media do. */
export function panelFiles(panels: readonly PanelFile[]): Map<string, Uint8Array> {
  return new Map(panels.map((panel) => [panelPath(panel), panel.bytes]));
}

/** The row that shows a delivery's panels; none where it has none. */
export function panelRows(panels: readonly PanelFile[], offset: number): WandbRow[] {
  const [first] = panels;
  if (first === undefined) return [];
  const shown = panels.map((panel) => [
    `noise_scale/panel/${panel.panel}`,
    { _type: "html-file", path: panelPath(panel), sha256: sha256(panel.bytes), size: panel.bytes.byteLength },
  ]);
  return [Object.fromEntries([...moments(offset, first.step, first.timeMs), ...shown])];
}

/** The last value of each key, as W&B's run list shows them. */
export function summarised(before: Readonly<Record<string, unknown>>, rows: readonly WandbRow[]): WandbRow {
  return Object.assign({}, before, ...rows);
}

/** An alert as W&B's own: plain text, with the link at its end. */
export function wandbAlert({ title, text, severity, link }: TrackerAlert): WandbAlert {
  return {
    title,
    text: link === undefined ? text : `${text}\n${link}`,
    severity: ({ info: "INFO", warning: "WARN", error: "ERROR" } as const)[severity],
    waitMs: alertWaitMs,
  };
}

function moments(row: number, step: number, timeMs: number): [string, unknown][] {
  return [
    ["_step", row],
    ["_timestamp", timeMs / 1000],
    [stepKey, step],
  ];
}

function panelPath({ panel, bytes }: PanelFile): string {
  return `media/html/noise_scale/${panel}_${sha256(bytes).slice(0, 20)}.html`;
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
