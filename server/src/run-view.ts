import { setImmediate as nextTurn } from "node:timers/promises";
import {
  type Alert,
  alertSeveritySchema,
  inProcessMode,
  type RunDetail,
  type RunSummary,
  type SeriesMetric,
  type Snapshot,
} from "@noisescale/protocol";
import type { MeasuredFrontiers } from "@noisescale/statistics";
import { toWireAlert } from "./alerts/wire-alert.ts";
import type { Fold } from "./fold.ts";
import { applyMeasuredFrontiers } from "./measured-rows.ts";
import type { ConfiguredTrackers } from "./outbox/configured-tracker.ts";
import type { RunSilence } from "./run-silence.ts";
import { columnOf, seriesRowWidth, valueAt } from "./series-row.ts";
import { toSnapshot } from "./snapshot.ts";
import type { AlertRow, QueueRow, RunRow, Store } from "./store/store.ts";

const loggedInProcess = "the training process logs the numbers there itself; the collector pushes nothing";

/** Runs that are read in one turn of the event loop. */
const runsPerTurn = 16;
/** Values of a spark line. */
const sparkValues = 64;
/** Alerts in a run's detail. */
const listedAlerts = 100;

/** What the collector answers of a run, read from the store. */
export class RunView {
  readonly #store: Store;
  readonly #fold: Fold;
  readonly #trackers: ConfiguredTrackers;
  readonly #silence: RunSilence;

  constructor(store: Store, fold: Fold, trackers: ConfiguredTrackers, silence: RunSilence) {
    this.#store = store;
    this.#fold = fold;
    this.#trackers = trackers;
    this.#silence = silence;
  }

  /** A run whose hook never said that it ended would be live for ever: what it says, or how long it has said nothing. */
  async state(run: RunRow): Promise<RunSummary["state"]> {
    if (run.state !== "live") return run.state;
    const silenceMs = Date.now() - (run.arrivedMs ?? run.createdMs);
    return (await this.#silence.isTooLong(run, silenceMs)) ? "silent" : "live";
  }

  /** @param standing - the run's alerts that last */
  async summary(run: RunRow, queues: readonly QueueRow[], standing: readonly AlertRow[]): Promise<RunSummary> {
    const count = run.fold?.measurements ?? 0;
    const rows = await this.#store.seriesRows(run.id, sparkIndexes(count));
    const measured = await this.measured(run);
    for (const row of rows) applyMeasuredFrontiers(row, { run, measured });
    const last = rows.at(-1) ?? new Float64Array(seriesRowWidth).fill(Number.NaN);
    const now = (metric: SeriesMetric): number | null => valueAt(last, 0, columnOf(metric));
    return {
      run: run.run,
      project: run.declaration.project,
      name: run.declaration.name ?? null,
      group: run.declaration.group ?? null,
      unit: run.declaration.unit,
      state: await this.state(run),
      step: run.fold?.step ?? null,
      time_ms: run.fold?.timeMs ?? null,
      measurements: count,
      batch_size: now("batch_size"),
      b_simple: now("b_simple"),
      b_simple_low: now("b_simple_low"),
      recommended_batch_size: now("recommended_batch_size"),
      spark: rows.map((row) => valueAt(row, 0, columnOf("b_simple"))),
      trackers: [
        ...queues.map((queue) => trackerState(queue, this.#trackers.has(queue.tracker))),
        ...(run.declaration.trackers ?? [])
          .filter(({ mode }) => mode === inProcessMode)
          .map(({ name }) => ({ name, url: null, backlog: 0, state: "in_process" as const, message: loggedInProcess })),
      ],
      alert: gravest(standing),
    };
  }

  /** Of many runs: measurements have their turn between. @param queues - by the run's id, as `standing` */
  async summaries(
    runs: readonly RunRow[],
    queues: ReadonlyMap<number, readonly QueueRow[]>,
    standing: ReadonlyMap<number, readonly AlertRow[]>,
  ): Promise<RunSummary[]> {
    const summaries: RunSummary[] = [];
    for (const run of runs) {
      summaries.push(await this.summary(run, queues.get(run.id) ?? [], standing.get(run.id) ?? []));
      if (summaries.length % runsPerTurn === 0) await nextTurn();
    }
    return summaries;
  }

  /** What sweeps say of the run's project and group. */
  measured({ declaration }: RunRow): Promise<MeasuredFrontiers> {
    return this.#store.measuredFrontiers(declaration.project, declaration.group, declaration.unit);
  }

  /** The latest, and those before them that last; oldest first. */
  async alerts({ run }: RunRow): Promise<Alert[]> {
    const query = { run, limit: listedAlerts };
    const latest = await this.#store.alerts(query);
    const lasting = await this.#store.standingAlertsBefore(latest[0]?.number ?? 0, query);
    return [...lasting, ...latest].map(toWireAlert);
  }

  async detail(run: RunRow): Promise<RunDetail> {
    const events = await this.#store.eventCounts(run.id);
    const standing = (await this.#store.standingAlerts()).filter(({ runId }) => runId === run.id);
    return {
      ...(await this.summary(run, await this.#store.queues(run.id), standing)),
      tags: Object.fromEntries(run.declaration.tags ?? []),
      events: events.map(({ kind, code, count, firstStep, lastStep }) => ({
        kind,
        code,
        count,
        first_step: firstStep,
        last_step: lastStep,
      })),
      alerts: await this.alerts(run),
    };
  }

  /** @throws Error where the state is of another version of the statistics: the run is folded anew when it is opened */
  async snapshot(run: RunRow): Promise<Snapshot> {
    const measured = await this.measured(run);
    const estimator = this.#fold.estimator(run);
    if (estimator === undefined) throw new Error(`the state of run ${run.run} is not readable`);
    // Taken at once: what the fold holds may go on while events are read.
    const estimate = estimator.estimate(measured);
    return toSnapshot(estimate, {
      run: run.run,
      unit: run.declaration.unit,
      datasetUnits: run.declaration.dataset_units,
      attempt: run.fold?.attempt ?? 0,
      timeMs: run.fold?.timeMs ?? null,
      events: await this.#store.eventCounts(run.id),
    });
  }
}

const severities = alertSeveritySchema.options;

/** The gravest, of those of one severity the latest. @param standing - in order */
function gravest(standing: readonly AlertRow[]): RunSummary["alert"] {
  const [first] = standing.toSorted(
    (one, other) => severities.indexOf(other.severity) - severities.indexOf(one.severity) || other.number - one.number,
  );
  return first === undefined ? null : { rule: first.rule, severity: first.severity, title: first.title };
}

/** Evenly spaced places of a series, its last among them. */
function sparkIndexes(count: number): number[] {
  if (count <= sparkValues) return Array.from({ length: count }, (_, i) => i);
  return Array.from({ length: sparkValues }, (_, i) => Math.round((i * (count - 1)) / (sparkValues - 1)));
}

function trackerState(queue: QueueRow, configured: boolean): RunSummary["trackers"][number] {
  const { tracker: name, url, backlog, message } = queue;
  if (!configured) {
    const missing = `the tracker ${name} is no longer configured at the collector: what waits for it stays here`;
    return { name, url, backlog, state: "parked", message: missing };
  }
  const state = queue.parked ? "parked" : queue.failures > 0 ? "retrying" : backlog > 0 ? "waiting" : "ok";
  return { name, url, backlog, state, message };
}
