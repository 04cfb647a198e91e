import { createHash } from "node:crypto";
import type { PanelFile, Point, TrackerAlert } from "@noisescale/tracker";
import type { TrackioAlert, TrackioMedia, TrackioRow } from "./client.ts";
import type { TrackioPlace } from "./target.ts";

/** Rows of one call: trackio writes a call in one transaction. */
const rowsPerCall = 1000;

/** Step of the row that shows a panel: one for the whole run, so that it needs no other when its file is replaced. */
const panelStep = 0;

/**
 * Points as rows, those of one step and time together, in calls of `bulk_log`. The same points make the same rows with the
 * same `log_id`, which trackio takes once.
 */
export function rowCalls(place: TrackioPlace, points: readonly Point[]): TrackioRow[][] {
  const rows: { readonly step: number; readonly timeMs: number; readonly metrics: Map<string, number> }[] = [];
  const last = new Map<string, (typeof rows)[number]>();
  for (const { key, step, timeMs, value } of points) {
    const moment = `${step} ${timeMs}`;
    let row = last.get(moment);
    if (row === undefined || row.metrics.has(key)) {
      row = { step, timeMs, metrics: new Map() };
      rows.push(row);
      last.set(moment, row);
    }
    row.metrics.set(key, value);
  }
  const calls: TrackioRow[][] = [];
  for (let start = 0; start < rows.length; start += rowsPerCall) {
    calls.push(
      rows.slice(start, start + rowsPerCall).map(({ step, timeMs, metrics }) => ({
        ...identity(place),
        step,
        metrics: Object.fromEntries(metrics),
        log_id: logId([place.runId, step, timeMs, ...[...metrics].sort()]),
      })),
    );
  }
  return calls;
}

/** A panel's file, the same one each time. */
export function panelMedia(place: TrackioPlace, panel: PanelFile): TrackioMedia {
  return {
    project: place.project,
    folder: folderOf(place),
    runId: place.runId,
    step: panelStep,
    fileName: `noise_scale_${panel.panel}.html`,
    contentType: panel.contentType,
    bytes: panel.bytes,
  };
}

/** The row that shows a panel's file (what `trackio.Html` becomes in a log); sent again it is the same row. */
export function panelRow(place: TrackioPlace, panel: PanelFile): TrackioRow {
  const media = panelMedia(place, panel);
  return {
    ...identity(place),
    step: panelStep,
    metrics: {
      [`noise_scale/panel/${panel.panel}`]: {
        _type: "trackio.html",
        file_path: `${media.project}/${media.folder}/${panelStep}/${media.fileName}`,
        caption: panel.title,
      },
    },
    log_id: logId([place.runId, "panel", panel.panel]),
  };
}

const levelOf = { info: "info", warning: "warn", error: "error" } as const;

/** An alert as trackio's own: plain text, with the link at its end. */
export function trackioAlert(place: TrackioPlace, alert: TrackerAlert): TrackioAlert {
  return {
    ...identity(place),
    title: alert.title,
    text: alert.link === undefined ? alert.text : `${alert.text}\n${alert.link}`,
    level: levelOf[alert.severity],
    step: alert.step,
    timestamp: new Date(alert.timeMs).toISOString(),
    alert_id: logId([place.runId, "alert", alert.id]),
  };
}

function identity({ project, runId, runName }: TrackioPlace): Pick<TrackioRow, "project" | "run" | "run_id"> {
  return { project, run: runName, run_id: runId };
}

/** The run's name, as trackio's client does it, so that renaming the run moves the files; its id where a name leads elsewhere. */
function folderOf({ runId, runName }: TrackioPlace): string {
  const isOneFolder = !/[\\/\p{Control}]/u.test(runName) && !/^\.+$/.test(runName) && runName.length <= 100;
  return isOneFolder ? runName : createHash("sha256").update(runId).digest("hex").slice(0, 32);
}

/** Project-wide identity of a row, from what it says. */
function logId(parts: readonly unknown[]): string {
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 32);
}
