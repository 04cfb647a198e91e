import {
  type MeasuredFrontiers,
  type NoiseScale,
  RunEstimator,
  type RunPoint,
  RunWatch,
  StateVersionError,
} from "@noisescale/statistics";
import type { AlertDraft } from "./alerts/alert-draft.ts";
import { recordAlerts } from "./alerts/alert-history.ts";
import { type AlertSettings, alertSettings, type ProjectAlerts } from "./alerts/alert-settings.ts";
import { changeDrafts } from "./alerts/change-drafts.ts";
import { effectiveSegments, supersededFrom } from "./attempts.ts";
import { type RunMeasurement, toObservation } from "./run-measurement.ts";
import { toRunSettings } from "./run-settings.ts";
import { seriesRowWidth, writeSeriesRow } from "./series-row.ts";
import type { AlertRow, AttemptStart, FoldPosition, RunRow, StoreTransaction } from "./store/store.ts";

/** Measurements between two checkpoints: what a late step costs at most. */
export const checkpointEvery = 10_000;

/** Runs whose estimators are held in memory. */
const heldRuns = 256;

/** Series rows that a refold holds before it writes them. */
const refoldRowsHeld = 4096;

// States of the last measurements, in memory: requests that overtake one another on their way cost a short refold.
const recentEvery = 64;
const recentStates = 16;
/** Those of many layers are too large to hold so many [bytes]. */
const longestRecentState = 16_384;

/** What a run's state holds: it depends on the measurements, the watch also on what was recommended at each of them. */
interface RunState {
  readonly estimator: RunEstimator;
  readonly watch: RunWatch;
}

interface HeldFold extends RunState {
  readonly version: number;
  readonly attempts: readonly AttemptStart[];
  readonly recent: readonly FoldPosition[];
}

/** A place in the fold without its states. */
type FoldPlace = Omit<FoldPosition, "state" | "watch">;

/** What a fold changed. */
export interface FoldResult {
  readonly estimator: RunEstimator;
  /** Undefined where the run has no measurement. */
  readonly position: FoldPlace | undefined;
  /** Rows that this fold wrote at the end of the series; after a refold only the last one. */
  readonly rows: Float64Array;
  /** Alerts that this fold raised and that are to be sent; they are in the run's history. */
  readonly alerts: readonly AlertRow[];
}

/**
 * Keeps each run's estimator equal to the fold, in order of step, of the measurements that count: of each attempt those
 * before the first step of any higher attempt. State, checkpoints and series are written in the caller's transaction.
 */
export class Fold {
  readonly #held = new Map<number, HeldFold>();
  readonly #alerts: AlertSettings;

  /** @param alerts - how each project's runs are watched */
  constructor(alerts: AlertSettings = alertSettings({})) {
    this.#alerts = alerts;
  }

  /** Folds what was just inserted. @param inserted - new measurements of this run, in any order */
  async extend(transaction: StoreTransaction, run: RunRow, inserted: readonly RunMeasurement[]): Promise<FoldResult> {
    const held = await this.#load(transaction, run);
    if (held === undefined) return this.rebuild(transaction, run);
    const attempts = withAttempts(held.attempts, inserted);
    const ends = supersededFrom(attempts);
    const counted = inserted.filter(({ attempt, step }) => step < (ends.get(attempt) as number));
    counted.sort((one, other) => one.step - other.step);
    const last = run.fold?.step ?? -1;
    const first = counted[0];
    if (first === undefined) {
      return { estimator: held.estimator, position: run.fold, rows: new Float64Array(0), alerts: [] };
    }
    this.forget(run.id);
    if (first.step <= last) return this.#refold(transaction, run, attempts, first.step, held.recent, first.step);

    const folding = new Folding(transaction, run, await this.#watching(transaction, run), held, run.fold);
    for (const measurement of counted) await folding.add(measurement);
    return this.#save(run, folding, attempts, held.recent, { replayed: false, newsFrom: first.step });
  }

  /** The fold as it stands, with its last row; folded again where its state is of another version. */
  async current(transaction: StoreTransaction, run: RunRow): Promise<FoldResult> {
    const estimator = this.estimator(run);
    if (estimator === undefined) return this.rebuild(transaction, run);
    const last = run.fold === undefined ? undefined : await transaction.seriesRow(run.id, run.fold.measurements - 1);
    return { estimator, position: run.fold, rows: last ?? new Float64Array(0), alerts: [] };
  }

  /** Folds the run again from its measurements, without any state. */
  async rebuild(transaction: StoreTransaction, run: RunRow): Promise<FoldResult> {
    this.forget(run.id);
    return this.#refold(transaction, run, await transaction.attemptStarts(run.id), 0, [], Number.POSITIVE_INFINITY);
  }

  /** The run's estimator, from the store's state; undefined where that is of another version of the statistics. */
  estimator(run: RunRow): RunEstimator | undefined {
    const held = this.#held.get(run.id);
    if (held?.version === run.version) return held.estimator;
    return readState(run, run.fold)?.estimator;
  }

  /** After a rollback what is held may be ahead of the store. */
  forget(runId: number): void {
    this.#held.delete(runId);
  }

  forgetAll(): void {
    this.#held.clear();
  }

  async #load(transaction: StoreTransaction, run: RunRow): Promise<HeldFold | undefined> {
    const held = this.#held.get(run.id);
    if (held?.version === run.version) return held;
    const state = readState(run, run.fold);
    if (state === undefined) return undefined;
    return { version: run.version, ...state, attempts: await transaction.attemptStarts(run.id), recent: [] };
  }

  async #refold(
    transaction: StoreTransaction,
    run: RunRow,
    attempts: readonly AttemptStart[],
    fromStep: number,
    recent: readonly FoldPosition[],
    newsFrom: number,
  ): Promise<FoldResult> {
    const before = recent.filter(({ step }) => step < fromStep);
    const found = before.at(-1) ?? (await transaction.checkpointBefore(run.id, fromStep));
    const state = readState(run, found);
    // A checkpoint of another version of the statistics: from the first measurement.
    const checkpoint = state === undefined ? undefined : found;
    await transaction.deleteCheckpointsFrom(run.id, checkpoint === undefined ? 0 : checkpoint.step + 1);
    const watching = await this.#watching(transaction, run);
    const folding = new Folding(transaction, run, watching, state ?? newState(run), checkpoint, refoldRowsHeld);
    await folding.truncate();
    for (const { attempt, from, to } of effectiveSegments(attempts, (checkpoint?.step ?? -1) + 1)) {
      for await (const measurement of transaction.measurements(run.id, attempt, { from, to })) {
        await folding.add(measurement);
      }
    }
    const result = await this.#save(run, folding, attempts, before, { replayed: true, newsFrom });
    return { ...result, rows: result.rows.subarray(-seriesRowWidth) };
  }

  async #watching(transaction: StoreTransaction, { declaration }: RunRow): Promise<Watching> {
    const { project, group, unit } = declaration;
    return { settings: this.#alerts(project), measured: await transaction.measuredFrontiers(project, group, unit) };
  }

  async #save(
    run: RunRow,
    folding: Folding,
    attempts: readonly AttemptStart[],
    recent: readonly FoldPosition[],
    replay: Replay,
  ): Promise<FoldResult> {
    const { result, watch, saved } = await folding.save(replay);
    const held = {
      version: run.version + 1,
      estimator: result.estimator,
      watch,
      attempts,
      recent: withRecent(recent, saved),
    };
    this.#held.delete(run.id);
    this.#held.set(run.id, held);
    const oldest = this.#held.keys().next();
    if (this.#held.size > heldRuns && oldest.done !== true) this.#held.delete(oldest.value);
    return result;
  }
}

function withRecent(recent: readonly FoldPosition[], saved: FoldPosition | undefined): readonly FoldPosition[] {
  if (saved === undefined || saved.state.length > longestRecentState) return [];
  const last = recent.at(-1);
  if (last !== undefined && saved.measurements - last.measurements < recentEvery) return recent;
  return [...recent, saved].slice(-recentStates);
}

/** What a run is watched by: its project's rules, and what sweeps say of its project and group now. */
interface Watching {
  readonly settings: ProjectAlerts;
  readonly measured: MeasuredFrontiers;
}

/** Whether the fold goes over steps again, and from which step on what it finds is news. */
interface Replay {
  readonly replayed: boolean;
  readonly newsFrom: number;
}

function newState(run: RunRow): RunState {
  return { estimator: new RunEstimator(toRunSettings(run.declaration)), watch: new RunWatch() };
}

function readState(run: RunRow, position: FoldPosition | undefined): RunState | undefined {
  if (position === undefined) return newState(run);
  try {
    const estimator = RunEstimator.deserialize(position.state, toRunSettings(run.declaration));
    return { estimator, watch: RunWatch.deserialize(position.watch) };
  } catch (error) {
    if (error instanceof StateVersionError) return undefined;
    throw error;
  }
}

function withAttempts(known: readonly AttemptStart[], inserted: readonly RunMeasurement[]): readonly AttemptStart[] {
  const starts = new Map(known.map(({ attempt, firstStep }) => [attempt, firstStep]));
  let changed = false;
  for (const { attempt, step } of inserted) {
    if (step >= (starts.get(attempt) ?? Number.POSITIVE_INFINITY)) continue;
    starts.set(attempt, step);
    changed = true;
  }
  if (!changed) return known;
  return [...starts].sort(([one], [other]) => one - other).map(([attempt, firstStep]) => ({ attempt, firstStep }));
}

/** One pass over measurements in order of step. */
class Folding {
  readonly #transaction: StoreTransaction;
  readonly #run: RunRow;
  readonly #watching: Watching;
  readonly #estimator: RunEstimator;
  readonly #watch: RunWatch;
  readonly #after: number;
  readonly #rowsHeld: number;
  readonly #drafts: AlertDraft[] = [];
  readonly #plain = (horizon: number): NoiseScale => this.#estimator.plain(horizon);
  #position: FoldPlace | undefined;
  #rows = new Float64Array(64 * seriesRowWidth);
  #count = 0;

  constructor(
    transaction: StoreTransaction,
    run: RunRow,
    watching: Watching,
    { estimator, watch }: RunState,
    start: FoldPlace | undefined,
    rowsHeld = Number.POSITIVE_INFINITY,
  ) {
    this.#transaction = transaction;
    this.#run = run;
    this.#watching = watching;
    this.#estimator = estimator;
    this.#watch = watch;
    this.#position = start;
    this.#after = start?.step ?? -1;
    this.#rowsHeld = rowsHeld;
  }

  /** Removes the series' rows after the start. */
  async truncate(): Promise<void> {
    await this.#transaction.writeSeries(this.#run.id, this.#position?.measurements ?? 0, new Float64Array(0));
  }

  async add(measurement: RunMeasurement): Promise<void> {
    const before = this.#position;
    if (before !== undefined && before.attempt !== measurement.attempt) await this.#checkpoint(before);
    const point = this.#estimator.add(toObservation(measurement));
    this.#look(point, measurement);
    if (this.#count * seriesRowWidth === this.#rows.length) {
      if (this.#count >= this.#rowsHeld) await this.#write();
      else this.#grow();
    }
    writeSeriesRow(this.#rows, this.#count, point, measurement);
    this.#count += 1;
    const { attempt, step, timeMs } = measurement;
    this.#position = { attempt, step, timeMs, measurements: (before?.measurements ?? 0) + 1 };
    if (this.#position.measurements % checkpointEvery === 0) await this.#checkpoint(this.#position);
  }

  async save(
    replay: Replay,
  ): Promise<{ readonly result: FoldResult; readonly watch: RunWatch; readonly saved: FoldPosition | undefined }> {
    const rows = this.#rows.slice(0, this.#count * seriesRowWidth);
    await this.#write();
    const position = this.#position;
    const saved = position === undefined ? undefined : { ...position, ...this.#states() };
    await this.#transaction.saveFold(this.#run.id, saved);
    const found = { drafts: this.#drafts, after: this.#after, ...replay };
    const alerts = await recordAlerts(this.#transaction, this.#run.id, found, this.#watching.settings);
    return { result: { estimator: this.#estimator, position, rows, alerts }, watch: this.#watch, saved };
  }

  /** What the watch says of a point becomes messages at once: their numbers are those of this measurement. */
  #look(point: RunPoint, { attempt, step, timeMs }: RunMeasurement): void {
    const range = this.#estimator.recommendedRange(point, this.#watching.measured);
    const changes = this.#watch.add(point, range, this.#plain, this.#watching.settings.watch);
    const context = {
      unit: this.#run.declaration.unit,
      point,
      recommendation: () => this.#estimator.estimate(this.#watching.measured).recommendation,
      settings: this.#watching.settings,
    };
    this.#drafts.push(...changeDrafts(changes, { attempt, step, timeMs }, context));
  }

  #states(): Pick<FoldPosition, "state" | "watch"> {
    return { state: this.#estimator.serialize(), watch: this.#watch.serialize() };
  }

  async #checkpoint(position: FoldPlace): Promise<void> {
    await this.#transaction.putCheckpoint(this.#run.id, { ...position, ...this.#states() });
  }

  async #write(): Promise<void> {
    if (this.#count === 0) return;
    const first = (this.#position?.measurements ?? 0) - this.#count;
    await this.#transaction.writeSeries(this.#run.id, first, this.#rows.subarray(0, this.#count * seriesRowWidth));
    this.#count = 0;
  }

  #grow(): void {
    const grown = new Float64Array(this.#rows.length * 2);
    grown.set(this.#rows);
    this.#rows = grown;
  }
}
