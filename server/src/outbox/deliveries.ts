import type { FoldResult } from "../fold.ts";
import { applyMeasuredFrontiers } from "../measured-rows.ts";
import { seriesRowWidth, timeColumn } from "../series-row.ts";
import type { NewDelivery, QueueRow, RunRow, StoreTransaction } from "../store/store.ts";
import type { ConfiguredTrackers } from "./configured-tracker.ts";
import { layerPoints, seriesPoints } from "./tracker-points.ts";

/** Sets of points that wait for a tracker at most; beyond it every second is dropped, the last kept. */
export const backlogBound = 64;

/** Shortest time between two sets of the layers' points [ms]. */
const layersEveryMs = 60_000;

/**
 * Makes what the run's trackers are due: of the rows just folded at most one set of points every `pushEverySeconds` of the
 * run's own time, so that measurements that arrive late in one go leave the same history as live ones.
 *
 * @param final - the run has ended: the last row is due in any case
 * @param overdue - a tracker by name whose last set is old by the collector's clock: the last row is due for it
 * @returns names of the trackers that have something new to send
 */
export async function makeDeliveries(
  transaction: StoreTransaction,
  run: RunRow,
  fold: FoldResult,
  trackers: ConfiguredTrackers,
  nowMs: number,
  due: { readonly final?: boolean; readonly overdue?: string } = {},
): Promise<string[]> {
  const { position } = fold;
  if (position === undefined || (run.declaration.trackers ?? []).length === 0) return [];
  const { project, group, unit } = run.declaration;
  const measured = await transaction.measuredFrontiers(project, group, unit);
  const pointsOf = (row: Float64Array) => {
    const shown = row.slice();
    applyMeasuredFrontiers(shown, { run, measured });
    return seriesPoints(shown);
  };
  const made: string[] = [];
  for (const queue of await transaction.queues(run.id)) {
    const tracker = trackers.get(queue.tracker);
    if (tracker === undefined) continue;
    if (due.overdue !== undefined && due.overdue !== queue.tracker) continue;
    const rows = dueRows(fold.rows, queue, tracker.tracker.capabilities.pushEverySeconds * 1000);
    const last = fold.rows.subarray(-seriesRowWidth);
    const wantsLast = due.final === true || due.overdue !== undefined;
    const shown = rows.length === 0 && queue.madeMeasurements === position.measurements;
    if (wantsLast && !shown && rows.at(-1)?.byteOffset !== last.byteOffset && last.length > 0) rows.push(last);
    if (rows.length === 0 && due.final !== true) continue;

    const deliveries: NewDelivery[] = thin(rows).map((row) => ({ points: pointsOf(row), final: false }));
    const withLayers = due.final === true || position.timeMs - queue.layersTimeMs >= layersEveryMs;
    if (withLayers) {
      const points = layerPoints(fold.estimator.estimate().layers, position.step, position.timeMs);
      if (points.length > 0) deliveries.push({ points, final: false });
    }
    // The end brings panels and note up to date, even where the last points were sent before.
    if (due.final === true) deliveries.push({ points: [], final: true });
    await transaction.addDeliveries(
      run.id,
      queue.tracker,
      deliveries,
      {
        madeMs: nowMs,
        madeTimeMs: rows.at(-1)?.[timeColumn] ?? queue.madeTimeMs,
        madeMeasurements: position.measurements - rowsAfter(fold.rows, rows.at(-1)),
        layersTimeMs: withLayers ? position.timeMs : queue.layersTimeMs,
      },
      backlogBound,
    );
    made.push(queue.tracker);
  }
  return made;
}

/** Rows that came after the last one sent. */
function rowsAfter(all: Float64Array, last: Float64Array | undefined): number {
  if (last === undefined) return 0;
  return (all.byteOffset + all.byteLength - last.byteOffset - last.byteLength) / last.byteLength;
}

function dueRows(rows: Float64Array, queue: QueueRow, everyMs: number): Float64Array[] {
  const found: Float64Array[] = [];
  let lastMs = queue.madeMeasurements === 0 ? Number.NEGATIVE_INFINITY : queue.madeTimeMs;
  for (let at = 0; at < rows.length; at += seriesRowWidth) {
    const timeMs = rows[at + timeColumn] as number;
    if (timeMs - lastMs < everyMs) continue;
    found.push(rows.subarray(at, at + seriesRowWidth));
    lastMs = timeMs;
  }
  return found;
}

function thin(rows: readonly Float64Array[]): readonly Float64Array[] {
  if (rows.length <= backlogBound) return rows;
  return thin(rows.filter((_, i) => (rows.length - 1 - i) % 2 === 0));
}
