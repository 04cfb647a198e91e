import { setImmediate as nextTurn } from "node:timers/promises";
import type { BriefSnapshot, Rejection, Snapshot } from "@noisescale/protocol";
import type { Alerts } from "./alerts/alerts.ts";
import type { Fold } from "./fold.ts";
import type { IndexedMeasurement } from "./ingest-check.ts";
import { LayerLimit } from "./layer-limit.ts";
import type { ConfiguredTrackers } from "./outbox/configured-tracker.ts";
import { makeDeliveries } from "./outbox/deliveries.ts";
import { UnknownRunError } from "./problem.ts";
import { toBriefSnapshot, toSnapshot } from "./snapshot.ts";
import type { InsertOutcome, Store, StoreTransaction } from "./store/store.ts";

/** Measurements that one transaction takes; requests beyond it wait for the next. */
const measurementsPerCommit = 20_000;

export interface IngestRequest {
  readonly run: string;
  readonly records: readonly IndexedMeasurement[];
  /** Whether the answer has the snapshot's layers and horizons. */
  readonly full: boolean;
}

export interface IngestAnswer {
  readonly accepted: number;
  readonly duplicates: number;
  readonly rejected: readonly Rejection[];
  readonly snapshot: BriefSnapshot | Snapshot;
}

export interface IngestCommit {
  readonly runs: ReadonlySet<string>;
  readonly trackers: ReadonlySet<string>;
  readonly durationMs: number;
}

export interface IngestSettings {
  readonly trackers: ConfiguredTrackers;
  readonly alerts: Alerts;
  /** Different layer names of one run. */
  readonly layerLimit: number;
  /** After each transaction. */
  committed(commit: IngestCommit): void;
}

interface Waiting extends IngestRequest {
  resolve(answer: IngestAnswer): void;
  reject(error: unknown): void;
}

/**
 * Stores and folds measurements. Requests that wait together share one transaction, and so one sync of the disk; each is
 * answered when it is on disk. A request that fails takes no other with it.
 */
export class Ingest {
  readonly #store: Store;
  readonly #fold: Fold;
  readonly #settings: IngestSettings;
  readonly #layerLimit: LayerLimit;
  #waiting: Waiting[] = [];
  #working: Promise<void> | undefined;

  constructor(store: Store, fold: Fold, settings: IngestSettings) {
    this.#store = store;
    this.#fold = fold;
    this.#settings = settings;
    this.#layerLimit = new LayerLimit(fold, settings.layerLimit);
  }

  /** @throws UnknownRunError */
  submit(request: IngestRequest): Promise<IngestAnswer> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ ...request, resolve, reject });
      this.#working ??= this.#work();
    });
  }

  /** Settles when nothing waits any more. */
  async idle(): Promise<void> {
    await this.#working;
  }

  async #work(): Promise<void> {
    // The requests that were read in this turn of the event loop come along.
    await nextTurn();
    while (this.#waiting.length > 0) {
      await this.#commit(this.#take());
      await nextTurn();
    }
    this.#working = undefined;
  }

  #take(): Waiting[] {
    let measurements = 0;
    const end = this.#waiting.findIndex((request, i) => {
      measurements += request.records.length;
      return i > 0 && measurements > measurementsPerCommit;
    });
    return this.#waiting.splice(0, end === -1 ? this.#waiting.length : end);
  }

  async #commit(batch: readonly Waiting[]): Promise<void> {
    const started = performance.now();
    const byRun = Map.groupBy(batch, ({ run }) => run);
    const trackers = new Set<string>();
    try {
      const settle = await this.#store.transaction(async (transaction) => {
        const outcomes: (() => void)[] = [];
        for (const requests of byRun.values()) {
          outcomes.push(...(await this.#together(transaction, requests, trackers)));
        }
        return outcomes;
      });
      for (const one of settle) one();
    } catch (error) {
      // Nothing of this transaction is on disk, so the estimators may be ahead of it.
      this.#fold.forgetAll();
      for (const request of batch) request.reject(error);
      return;
    }
    this.#settings.committed({
      runs: new Set(byRun.keys()),
      trackers,
      durationMs: performance.now() - started,
    });
  }

  /** One run's requests in one fold; if that fails, each apart, so that the others go through. */
  async #together(
    transaction: StoreTransaction,
    requests: readonly Waiting[],
    trackers: Set<string>,
  ): Promise<(() => void)[]> {
    try {
      const answers = await transaction.nested(() => this.#ingest(transaction, requests, trackers));
      return requests.map((request, i) => () => request.resolve(answers[i] as IngestAnswer));
    } catch (error) {
      const [only, ...others] = requests;
      if (only !== undefined && others.length === 0) return [() => only.reject(error)];
      const apart: (() => void)[] = [];
      for (const request of requests) apart.push(...(await this.#together(transaction, [request], trackers)));
      return apart;
    }
  }

  async #ingest(
    transaction: StoreTransaction,
    requests: readonly Waiting[],
    trackers: Set<string>,
  ): Promise<IngestAnswer[]> {
    const name = (requests[0] as Waiting).run;
    const run = await transaction.lockRun(name);
    if (run === undefined) throw new UnknownRunError(name);
    const { admitted, rejections } = this.#layerLimit.admit(
      run,
      requests.flatMap((request) => request.records),
    );
    const outcomes = await transaction.insertMeasurements(
      run.id,
      admitted.map(({ measurement }) => measurement),
    );
    if (admitted.some(({ layers }, i) => layers !== undefined && outcomes[i] !== "new"))
      this.#layerLimit.forget(run.id);
    const outcomeOf = new Map(admitted.map((record, i) => [record, outcomes[i]]));
    const inserted = admitted.filter((_, i) => outcomes[i] === "new").map(({ measurement }) => measurement);
    try {
      const result = await this.#fold.extend(transaction, run, inserted);
      const attempt = result.position?.attempt ?? 0;
      if (run.state !== "live" && run.fold !== undefined && attempt > run.fold.attempt) {
        await transaction.setState(run.id, "live");
      }
      const { project, group, unit, dataset_units: datasetUnits } = run.declaration;
      const measured = await transaction.measuredFrontiers(project, group, unit);
      const { alerts } = this.#settings;
      if (inserted.length > 0) await alerts.heard(transaction, run, result.position?.step ?? 0, Date.now());
      const due = await makeDeliveries(transaction, run, result, this.#settings.trackers, Date.now());
      for (const tracker of [...due, ...(await alerts.send(transaction, run, result.alerts))]) trackers.add(tracker);
      const events = await this.#store.eventCounts(run.id);
      const context = { run: name, unit, datasetUnits, attempt, timeMs: result.position?.timeMs ?? null, events };
      const estimate = result.estimator.estimate(measured);
      const brief = toBriefSnapshot(estimate, context);
      const full = requests.some((request) => request.full) ? toSnapshot(estimate, context) : brief;
      return requests.map((request) => ({
        ...counts(request, outcomeOf, rejections),
        snapshot: request.full ? full : brief,
      }));
    } catch (error) {
      this.#fold.forget(run.id);
      this.#layerLimit.forget(run.id);
      throw error;
    }
  }
}

function counts(
  { records }: IngestRequest,
  outcomeOf: ReadonlyMap<IndexedMeasurement, InsertOutcome | undefined>,
  rejections: ReadonlyMap<IndexedMeasurement, Rejection>,
): Pick<IngestAnswer, "accepted" | "duplicates" | "rejected"> {
  const rejected: Rejection[] = [];
  let accepted = 0;
  let duplicates = 0;
  for (const record of records) {
    const { index, measurement } = record;
    const outcome = outcomeOf.get(record);
    const rejection = rejections.get(record);
    if (rejection !== undefined) rejected.push(rejection);
    else if (outcome === "new") accepted += 1;
    else if (outcome === "duplicate") duplicates += 1;
    else {
      rejected.push({
        index,
        path: "step",
        message: `step ${measurement.step} of attempt ${measurement.attempt} is already known with other values, which stand: a training that starts anew takes an attempt of its own`,
      });
    }
  }
  return { accepted, duplicates, rejected };
}
