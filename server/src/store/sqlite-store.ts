import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { CalibrationAnswer, GroupFrontierAnswer, Unit } from "@noisescale/protocol";
import type { MeasuredFrontiers } from "@noisescale/statistics";
import type { RunMeasurement } from "../run-measurement.ts";
import type { SeriesChunk } from "../series-row.ts";
import { firstWebhookMessage, isDue } from "./sqlite-alerts.ts";
import {
  evaluationsPerPage,
  readAttemptStarts,
  readCalibration,
  readEvaluationNames,
  readEvaluations,
  readGroupFrontiers,
  readMeasuredFrontiers,
} from "./sqlite-frontiers.ts";
import { dueQueues } from "./sqlite-outbox.ts";
import {
  alertRow,
  listedAlert,
  listedAlertColumns,
  measurementRow,
  numbersOf,
  queueColumns,
  queueRow,
  runColumns,
  runRow,
} from "./sqlite-rows.ts";
import { migrations } from "./sqlite-schema.ts";
import { SqliteStatements } from "./sqlite-statements.ts";
import { readSeriesRow, SqliteTransaction } from "./sqlite-transaction.ts";
import type {
  AlertQuery,
  AlertRow,
  AttemptStart,
  Evaluation,
  EventCount,
  ListedAlert,
  QueueRow,
  RunRow,
  SilentRun,
  StepRange,
  Store,
  StoreTransaction,
  WebhookBacklog,
} from "./store.ts";

/** Chunks read between two turns of the event loop, so that a long series holds up no other request. */
const chunksPerTurn = 256;
const measurementsPerPage = 2000;
/** Length of the write-ahead log at which it is moved into the database [pages of 4 KiB]. */
const walPages = 4000;

/**
 * Store in one SQLite file. Each transaction is synced to disk before it returns (write-ahead log, synchronous=FULL).
 * Reads have a connection of their own and see whole transactions only.
 */
export class SqliteStore implements Store {
  readonly #writer: DatabaseSync;
  readonly #reader: DatabaseSync;
  readonly #write: SqliteStatements;
  readonly #read: SqliteStatements;
  #last: Promise<unknown> = Promise.resolve();
  #closed = false;

  /** @throws Error where the file is of another version of noisescale, or is no database */
  constructor(file: string) {
    mkdirSync(dirname(file), { recursive: true });
    this.#writer = new DatabaseSync(file);
    this.#writer.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000");
    // Fewer, larger moves of the log into the database: one in some hundred commits waits for it.
    this.#writer.exec(`PRAGMA wal_autocheckpoint = ${walPages}`);
    this.#migrate(file);
    this.#reader = new DatabaseSync(file, { readOnly: true });
    this.#reader.exec("PRAGMA busy_timeout = 5000");
    this.#write = new SqliteStatements(this.#writer);
    this.#read = new SqliteStatements(this.#reader);
  }

  transaction<T>(work: (transaction: StoreTransaction) => Promise<T>): Promise<T> {
    const result = this.#last.then(async () => {
      if (this.#closed) throw new Error("the store is closed");
      this.#writer.exec("BEGIN IMMEDIATE");
      try {
        const value = await work(new SqliteTransaction(this.#write));
        this.#writer.exec("COMMIT");
        return value;
      } catch (error) {
        if (this.#writer.isTransaction) this.#writer.exec("ROLLBACK");
        throw error;
      }
    });
    this.#last = result.catch(() => undefined);
    return result;
  }

  async findRun(run: string): Promise<RunRow | undefined> {
    const row = this.#read.get(`SELECT ${runColumns} FROM runs WHERE run = ?`, run);
    return row === undefined ? undefined : runRow(row);
  }

  async listRuns(group?: string): Promise<readonly RunRow[]> {
    return this.#read
      .all(
        `SELECT ${runColumns} FROM runs WHERE ?1 IS NULL OR declaration ->> 'group' = ?1
         ORDER BY created_ms DESC, id DESC`,
        group ?? null,
      )
      .map(runRow);
  }

  async eventCounts(runId: number): Promise<readonly EventCount[]> {
    return this.#read
      .all(
        `SELECT kind, code, min(total(count), 9007199254740991) AS count, min(step) AS first_step, max(step) AS last_step FROM events
         WHERE run = ? GROUP BY kind, code ORDER BY first_step, kind, code`,
        runId,
      )
      .map((row) => ({
        kind: row["kind"] as EventCount["kind"],
        code: row["code"] as string,
        count: row["count"] as number,
        firstStep: row["first_step"] as number,
        lastStep: row["last_step"] as number,
      }));
  }

  async queues(runId: number): Promise<readonly QueueRow[]> {
    return this.#read
      .all(
        `SELECT ${queueColumns} FROM queues JOIN runs ON runs.id = queues.run WHERE queues.run = ? ORDER BY tracker`,
        runId,
      )
      .map(queueRow);
  }

  async allQueues(): Promise<readonly QueueRow[]> {
    return this.#read.all(`SELECT ${queueColumns} FROM queues JOIN runs ON runs.id = queues.run`).map(queueRow);
  }

  async overdueRuns(tracker: string, madeBeforeMs: number): Promise<readonly string[]> {
    return this.#read
      .all(
        `SELECT runs.run AS run FROM queues JOIN runs ON runs.id = queues.run
         WHERE queues.tracker = ? AND queues.made_ms <= ? AND runs.fold_measurements <> queues.made_measurements`,
        tracker,
        madeBeforeMs,
      )
      .map((row) => row["run"] as string);
  }

  async hasDueQueue(tracker: string, nowMs: number): Promise<boolean> {
    return this.#read.get(`SELECT 1 ${dueQueues} LIMIT 1`, tracker, nowMs, nowMs) !== undefined;
  }

  async alerts({ project, run, after, limit }: AlertQuery): Promise<readonly ListedAlert[]> {
    const rows = this.#read.all(
      `SELECT ${listedAlertColumns} FROM alerts JOIN runs ON runs.id = alerts.run
       WHERE (?1 IS NULL OR runs.declaration ->> 'project' = ?1) AND (?2 IS NULL OR runs.run = ?2) AND number > ?3
       ORDER BY number ${after === undefined ? "DESC" : "ASC"} LIMIT ?4`,
      project ?? null,
      run ?? null,
      after ?? 0,
      limit,
    );
    const found = rows.map(listedAlert);
    return after === undefined ? found.reverse() : found;
  }

  async standingAlerts(): Promise<readonly AlertRow[]> {
    return this.#read
      .all("SELECT * FROM alerts INDEXED BY alerts_standing WHERE ended_step IS NULL ORDER BY number")
      .map(alertRow);
  }

  async standingAlertsBefore(
    number: number,
    { project, run, limit }: Pick<AlertQuery, "project" | "run" | "limit">,
  ): Promise<readonly ListedAlert[]> {
    // Few stand: by number, the whole history would be gone through for them.
    return this.#read
      .all(
        `SELECT ${listedAlertColumns} FROM alerts INDEXED BY alerts_standing JOIN runs ON runs.id = alerts.run
         WHERE ended_step IS NULL AND (?1 IS NULL OR runs.declaration ->> 'project' = ?1)
           AND (?2 IS NULL OR runs.run = ?2) AND number < ?3
         ORDER BY number DESC LIMIT ?4`,
        project ?? null,
        run ?? null,
        number,
        limit,
      )
      .map(listedAlert)
      .reverse();
  }

  async webhookBacklogs(): Promise<readonly WebhookBacklog[]> {
    return this.#read
      .all(
        `SELECT webhook, total(refused = 0) AS waiting, max(iif(refused = 0, failures, 0)) AS failures,
           total(refused) AS refused, max(message) AS message FROM webhook_messages GROUP BY webhook ORDER BY webhook`,
      )
      .map((row) => ({
        webhook: row["webhook"] as string,
        waiting: row["waiting"] as number,
        failures: row["failures"] as number,
        refused: row["refused"] as number,
        message: row["message"] as string | null,
      }));
  }

  async hasDueWebhookMessage(webhook: string, nowMs: number): Promise<boolean> {
    const first = this.#read.get(firstWebhookMessage, webhook);
    return first !== undefined && isDue(first, nowMs);
  }

  async silentRuns(arrivedMs: number, run?: string): Promise<readonly SilentRun[]> {
    return this.#read
      .all(
        `SELECT run, declaration ->> 'project' AS project, arrived_ms FROM runs WHERE state = 'live' AND arrived_ms <= ?1 AND fold_measurements > 0
           AND NOT EXISTS (SELECT 1 FROM alerts WHERE alerts.run = runs.id AND rule = 'measurements-stopped'
             AND ended_step IS NULL)
           AND (?2 IS NULL OR run = ?2)`,
        arrivedMs,
        run ?? null,
      )
      .map((row) => ({
        run: row["run"] as string,
        project: row["project"] as string,
        arrivedMs: row["arrived_ms"] as number,
      }));
  }

  async *series(runId: number, { from, to }: StepRange): AsyncIterable<SeriesChunk> {
    for (let after = -1; ; ) {
      const rows = this.#read.all(
        `SELECT chunk, rows FROM series WHERE run = ? AND chunk > ? AND first_step <= ? AND last_step >= ?
         ORDER BY chunk LIMIT ${chunksPerTurn}`,
        runId,
        after,
        to,
        from,
      );
      for (const row of rows) {
        after = row["chunk"] as number;
        yield { rows: numbersOf(row["rows"] as Uint8Array) };
      }
      if (rows.length < chunksPerTurn) return;
      await nextTurn();
    }
  }

  async seriesCount(runId: number, { from, to }: StepRange): Promise<number> {
    const row = this.#read.get(
      "SELECT coalesce(sum(count), 0) AS n FROM series WHERE run = ? AND first_step <= ? AND last_step >= ?",
      runId,
      to,
      from,
    );
    return row?.["n"] as number;
  }

  async seriesRows(runId: number, indexes: readonly number[]): Promise<readonly Float64Array[]> {
    return indexes.flatMap((index) => readSeriesRow(this.#read, runId, index) ?? []);
  }

  async *measurements(runId: number): AsyncIterable<RunMeasurement> {
    for (let attempt = -1, step = -1; ; ) {
      const rows = this.#read.all(
        `SELECT * FROM measurements WHERE run = ? AND (attempt, step) > (?, ?)
         ORDER BY attempt, step LIMIT ${measurementsPerPage}`,
        runId,
        attempt,
        step,
      );
      for (const row of rows) yield measurementRow(row);
      const last = rows.at(-1);
      if (last === undefined || rows.length < measurementsPerPage) return;
      attempt = last["attempt"] as number;
      step = last["step"] as number;
      await nextTurn();
    }
  }

  async attemptStarts(runId: number): Promise<readonly AttemptStart[]> {
    return readAttemptStarts(this.#read, runId);
  }

  async evaluationNames(runId: number, limit: number): Promise<readonly string[]> {
    return readEvaluationNames(this.#read, runId, limit);
  }

  async evaluates(runId: number, name: string): Promise<boolean> {
    return this.#read.get("SELECT 1 FROM evaluations WHERE run = ? AND name = ? LIMIT 1", runId, name) !== undefined;
  }

  async *evaluations(runId: number, name: string, attempt: number, range: StepRange): AsyncIterable<Evaluation> {
    for (let from = range.from; ; ) {
      const page = readEvaluations(this.#read, runId, name, attempt, { from, to: range.to });
      yield* page;
      const last = page.at(-1);
      if (last === undefined || page.length < evaluationsPerPage) return;
      from = last.step + 1;
      await nextTurn();
    }
  }

  async measuredFrontiers(project: string, group: string | undefined, unit: Unit): Promise<MeasuredFrontiers> {
    return readMeasuredFrontiers(this.#read, project, group, unit);
  }

  async groupFrontiers(project: string, group: string): Promise<readonly GroupFrontierAnswer[]> {
    return readGroupFrontiers(this.#read, project, group);
  }

  async calibration(project: string): Promise<CalibrationAnswer | undefined> {
    return readCalibration(this.#read, project);
  }

  async ready(): Promise<void> {
    await this.transaction(async (transaction) => {
      await transaction.countRuns();
    });
  }

  async close(): Promise<void> {
    await this.#last;
    if (this.#closed) return;
    this.#closed = true;
    this.#reader.close();
    this.#writer.close();
  }

  #migrate(file: string): void {
    const version = Number(this.#writer.prepare("PRAGMA user_version").get()?.["user_version"]);
    if (version !== 0 && !migrations.some((migration) => migration.version === version)) {
      this.#writer.close();
      throw new Error(
        `${file} was written by another version of noisescale (schema ${version}, this one reads up to ${migrations.at(-1)?.version}): use that version, or another data directory`,
      );
    }
    for (const { version: next, statements } of migrations) {
      if (next > version) this.#writer.exec(`BEGIN IMMEDIATE; ${statements} PRAGMA user_version = ${next}; COMMIT`);
    }
  }
}
