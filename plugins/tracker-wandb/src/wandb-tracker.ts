import {
  checkDelivery,
  type Delivery,
  type Tracker,
  type TrackerCapabilities,
  TrackerError,
  type TrackerRun,
} from "@noisescale/tracker";
import { WandbClient, type WandbConnection, wandbServer } from "./client.ts";
import { openCompanion, openShared, type RunWriter } from "./run-writer.ts";
import { trySelf } from "./self-test.ts";
import { findPlace, parseTarget, type WandbBounds } from "./target.ts";
import { panelFiles, panelRows, pointRows, summarised, type WandbRow, wandbAlert } from "./transform.ts";
import { workspaceSpec, workspaceView } from "./workspace.ts";

/** What the collector's own configuration says about W&B. */
export interface WandbConfig extends WandbConnection, WandbBounds {
  /** False: no saved view is added to a project; by default each gets one, once. */
  readonly workspace?: boolean | undefined;
}

/** Rows of one request. */
const rowsPerRequest = 1000;

/**
 * Pushes to W&B, into a companion run that the collector makes, or, where it was started in shared mode, into the user's own
 * run. Nothing that another writer wrote is ever written over.
 *
 * @throws RangeError where the configuration is wrong
 */
export function wandbTracker(config: WandbConfig): Tracker {
  const client = new WandbClient(wandbServer(config));
  const kind = "wandb";
  const capabilities: TrackerCapabilities = {
    panels: ["text/html"],
    note: false,
    alerts: true,
    panelData: false,
    pushEverySeconds: 10,
    // W&B keeps each of them: some megabytes an hour.
    pushPanelsEverySeconds: 600,
  };
  return {
    kind,
    capabilities,
    async openRun(untrusted, context, opening): Promise<TrackerRun> {
      const target = parseTarget(untrusted);
      const calls = client.cutBy(opening);
      const place = await findPlace(calls, target, context, config);
      const { mode, run_id: runId } = target;
      const writer =
        mode === "shared" && runId !== undefined
          ? await openShared(calls, place, runId, context)
          : await openCompanion(calls, place, target, context);
      if (config.workspace !== false) await addView(calls, place);
      const { path } = writer;
      let closed = false;
      let { summary } = writer;
      return {
        url: client.runUrl(path),
        async send(delivery, position, signal): Promise<string> {
          if (closed) throw new TrackerError(`wandb: the run ${path.run} was closed.`, { retryable: false });
          checkDelivery({ kind, capabilities }, delivery);
          const offset = position === null ? writer.firstOffset : parsePosition(position);
          const rows = await deliver(client.cutBy(signal), writer, delivery, offset, summary);
          summary = summarised(summary, rows);
          return String(offset + rows.length);
        },
        async close(): Promise<void> {
          closed = true;
        },
      };
    },
    selfTest: () => trySelf(client, config),
    async close(): Promise<void> {
      client.close();
    },
  };
}

/** Files before the row that shows them, and the end after everything. @returns the rows that were written */
async function deliver(
  client: WandbClient,
  { path, writer }: RunWriter,
  delivery: Delivery,
  offset: number,
  summary: Readonly<Record<string, unknown>>,
): Promise<readonly WandbRow[]> {
  const files = panelFiles(delivery.panels);
  if (files.size > 0) await client.putFiles(path, files);
  const points = pointRows(delivery.points, offset);
  const rows = [...points, ...panelRows(delivery.panels, offset + points.length)];
  for (let start = 0; start < rows.length; start += rowsPerRequest) {
    const part = rows.slice(start, start + rowsPerRequest);
    const isLast = start + part.length === rows.length;
    await client.stream(
      path,
      {
        history: { offset: offset + start, rows: part },
        ...(isLast ? { summary: summarised(summary, rows), uploaded: [...files.keys()] } : {}),
      },
      writer,
    );
  }
  for (const alert of delivery.alerts ?? []) await client.alert(path, wandbAlert(alert));
  // The end of a shared run is the trainer's to say.
  if (delivery.ended !== undefined && writer === undefined) {
    await client.stream(path, { exitCode: delivery.ended.outcome === "finished" ? 0 : 1 });
  }
  return rows;
}

/** Adds the view to the project, once. A key that may not save views goes without. */
async function addView(client: WandbClient, place: { readonly entity: string; readonly project: string }) {
  const { entity, project } = place;
  try {
    if (await client.hasView(entity, project, workspaceView.name)) return;
    await client.createView(entity, project, { ...workspaceView, spec: workspaceSpec() });
  } catch (error) {
    if (error instanceof TrackerError && !error.retryable) return;
    throw error;
  }
}

/** A position is the number of rows of the stream that were acknowledged. */
function parsePosition(position: string): number {
  const offset = Number(position);
  if (Number.isSafeInteger(offset) && offset >= 0) return offset;
  throw new TrackerError(`wandb: the position ${JSON.stringify(position)} is none of this run's.`, {
    retryable: false,
  });
}
