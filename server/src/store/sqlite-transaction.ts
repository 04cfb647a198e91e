import type { CalibrationAnswer, GroupFrontierAnswer, RunDeclaration, RunEvent, Unit } from "@noisescale/protocol";
import type { MeasuredFrontiers } from "@noisescale/statistics";
import { evaluationsOf, type RunMeasurement } from "../run-measurement.ts";
import { chunkRows, seriesRowWidth, stepColumn } from "../series-row.ts";
import { readAttemptStarts, readMeasuredFrontiers, writeCalibration, writeGroupFrontier } from "./sqlite-frontiers.ts";
import { SqliteOutbox } from "./sqlite-outbox.ts";
import {
  bytesOf,
  checkpointRow,
  declarationText,
  measurementRow,
  numbersOf,
  type Row,
  runColumns,
  runRow,
} from "./sqlite-rows.ts";
import { runTables } from "./sqlite-schema.ts";
import type { SqliteStatements } from "./sqlite-statements.ts";
import type {
  AttemptStart,
  FoldPosition,
  InsertOutcome,
  RunRow,
  RunState,
  StepRange,
  StoreTransaction,
} from "./store.ts";

const insertMeasurement = `INSERT INTO measurements VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`;

/** One transaction on SQLite's writing connection, where only one is open at a time. */
export class SqliteTransaction extends SqliteOutbox implements StoreTransaction {
  readonly #sql: SqliteStatements;
  #depth = 0;

  constructor(sql: SqliteStatements) {
    super(sql);
    this.#sql = sql;
  }

  async nested<T>(work: () => Promise<T>): Promise<T> {
    const name = `nested_${this.#depth}`;
    this.#depth += 1;
    this.#sql.run(`SAVEPOINT ${name}`);
    try {
      return await work();
    } catch (error) {
      this.#sql.run(`ROLLBACK TO ${name}`);
      throw error;
    } finally {
      this.#sql.run(`RELEASE ${name}`);
      this.#depth -= 1;
    }
  }

  async lockRun(run: string): Promise<RunRow | undefined> {
    const row = this.#sql.get(`SELECT ${runColumns} FROM runs WHERE run = ?`, run);
    return row === undefined ? undefined : runRow(row);
  }

  async countRuns(): Promise<number> {
    return this.#sql.get("SELECT count(*) AS n FROM runs")?.["n"] as number;
  }

  async createRun(run: string, declaration: RunDeclaration, createdMs: number): Promise<RunRow> {
    this.#sql.run(
      "INSERT INTO runs (run, declaration, state, created_ms, version) VALUES (?, ?, 'live', ?, 0)",
      run,
      declarationText(declaration),
      createdMs,
    );
    return runRow(this.#sql.get(`SELECT ${runColumns} FROM runs WHERE run = ?`, run) as Row);
  }

  async updateDeclaration(runId: number, declaration: RunDeclaration): Promise<void> {
    this.#sql.run("UPDATE runs SET declaration = ? WHERE id = ?", declarationText(declaration), runId);
  }

  async setState(runId: number, state: RunState): Promise<void> {
    this.#sql.run("UPDATE runs SET state = ? WHERE id = ?", state, runId);
  }

  async setArrived(runId: number, nowMs: number): Promise<void> {
    this.#sql.run("UPDATE runs SET arrived_ms = ? WHERE id = ?", nowMs, runId);
  }

  async deleteRun(runId: number): Promise<void> {
    for (const table of runTables) this.#sql.run(`DELETE FROM ${table} WHERE run = ?`, runId);
    this.#sql.run("DELETE FROM runs WHERE id = ?", runId);
  }

  async insertMeasurements(runId: number, measurements: readonly RunMeasurement[]): Promise<readonly InsertOutcome[]> {
    const insert = this.#sql.prepared(insertMeasurement);
    const insertEvaluation = this.#sql.prepared("INSERT INTO evaluations VALUES (?, ?, ?, ?, ?)");
    return measurements.map((measurement) => {
      const { changes } = insert.run(
        runId,
        measurement.attempt,
        measurement.step,
        measurement.timeMs,
        measurement.units,
        measurement.smallBatchSize,
        measurement.smallMeanSquaredNorm,
        measurement.smallCount,
        measurement.bigBatchSize,
        measurement.bigSquaredNorm,
        measurement.loss,
        measurement.learningRate,
        measurement.named,
      );
      if (changes !== 1) return this.#compare(runId, measurement);
      for (const [name, value] of evaluationsOf(measurement)) {
        insertEvaluation.run(runId, name, measurement.attempt, measurement.step, value);
      }
      return "new";
    });
  }

  async attemptStarts(runId: number): Promise<readonly AttemptStart[]> {
    return readAttemptStarts(this.#sql, runId);
  }

  async *measurements(runId: number, attempt: number, range: StepRange): AsyncIterable<RunMeasurement> {
    const pageSize = 1000;
    for (let from = range.from; ; ) {
      const rows = this.#sql.all(
        `SELECT * FROM measurements WHERE run = ? AND attempt = ? AND step BETWEEN ? AND ? ORDER BY step LIMIT ${pageSize}`,
        runId,
        attempt,
        from,
        range.to,
      );
      for (const row of rows) yield measurementRow(row);
      const last = rows.at(-1);
      if (last === undefined || rows.length < pageSize) return;
      from = (last["step"] as number) + 1;
    }
  }

  async saveFold(runId: number, fold: FoldPosition | undefined): Promise<void> {
    this.#sql.run(
      `UPDATE runs SET version = version + 1, fold_attempt = ?, fold_step = ?, fold_time_ms = ?, fold_measurements = ?,
         fold_state = ?, fold_watch = ? WHERE id = ?`,
      fold?.attempt ?? null,
      fold?.step ?? null,
      fold?.timeMs ?? null,
      fold?.measurements ?? null,
      fold?.state ?? null,
      fold?.watch ?? null,
      runId,
    );
  }

  async putCheckpoint(runId: number, checkpoint: FoldPosition): Promise<void> {
    const { step, attempt, timeMs, measurements, state, watch } = checkpoint;
    this.#sql.run(
      "INSERT OR REPLACE INTO checkpoints VALUES (?, ?, ?, ?, ?, ?, ?)",
      runId,
      step,
      attempt,
      timeMs,
      measurements,
      state,
      watch,
    );
  }

  async checkpointBefore(runId: number, step: number): Promise<FoldPosition | undefined> {
    const row = this.#sql.get(
      "SELECT * FROM checkpoints WHERE run = ? AND step < ? ORDER BY step DESC LIMIT 1",
      runId,
      step,
    );
    return row === undefined ? undefined : checkpointRow(row);
  }

  async deleteCheckpointsFrom(runId: number, step: number): Promise<void> {
    this.#sql.run("DELETE FROM checkpoints WHERE run = ? AND step >= ?", runId, step);
  }

  async writeSeries(runId: number, firstIndex: number, rows: Float64Array): Promise<void> {
    const firstChunk = Math.floor(firstIndex / chunkRows);
    const kept = (firstIndex % chunkRows) * seriesRowWidth;
    let all = rows;
    if (kept > 0) {
      const row = this.#sql.get("SELECT rows FROM series WHERE run = ? AND chunk = ?", runId, firstChunk);
      all = new Float64Array(kept + rows.length);
      all.set(numbersOf(row?.["rows"] as Uint8Array).subarray(0, kept));
      all.set(rows, kept);
    }
    this.#sql.run("DELETE FROM series WHERE run = ? AND chunk > ?", runId, firstChunk);
    if (all.length === 0) this.#sql.run("DELETE FROM series WHERE run = ? AND chunk = ?", runId, firstChunk);
    const insert = this.#sql.prepared("INSERT OR REPLACE INTO series VALUES (?, ?, ?, ?, ?, ?)");
    const width = chunkRows * seriesRowWidth;
    for (let at = 0; at < all.length; at += width) {
      const chunk = all.subarray(at, at + width);
      const count = chunk.length / seriesRowWidth;
      insert.run(
        runId,
        firstChunk + at / width,
        chunk[stepColumn] as number,
        chunk[(count - 1) * seriesRowWidth + stepColumn] as number,
        count,
        bytesOf(chunk),
      );
    }
  }

  async seriesRow(runId: number, index: number): Promise<Float64Array | undefined> {
    return readSeriesRow(this.#sql, runId, index);
  }

  async measuredFrontiers(project: string, group: string | undefined, unit: Unit): Promise<MeasuredFrontiers> {
    return readMeasuredFrontiers(this.#sql, project, group, unit);
  }

  async putGroupFrontier(answer: GroupFrontierAnswer): Promise<void> {
    writeGroupFrontier(this.#sql, answer);
  }

  async deleteGroupFrontier(project: string, group: string, target: string): Promise<void> {
    this.#sql.run(
      "DELETE FROM group_frontiers WHERE project = ? AND group_name = ? AND target = ?",
      project,
      group,
      target,
    );
  }

  async putCalibration(answer: CalibrationAnswer): Promise<void> {
    writeCalibration(this.#sql, answer);
  }

  async deleteCalibration(project: string): Promise<boolean> {
    return this.#sql.run("DELETE FROM calibrations WHERE project = ?", project) > 0;
  }

  async insertEvents(runId: number, attempt: number, events: readonly RunEvent[]): Promise<readonly RunEvent[]> {
    const insert = this.#sql.prepared("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING");
    return events.filter(
      ({ step, kind, code, time_ms, count }) =>
        insert.run(runId, attempt, step, kind, code, time_ms, count ?? 1).changes === 1,
    );
  }

  #compare(runId: number, measurement: RunMeasurement): InsertOutcome {
    const row = this.#sql.get(
      "SELECT * FROM measurements WHERE run = ? AND attempt = ? AND step = ?",
      runId,
      measurement.attempt,
      measurement.step,
    ) as Row;
    const stored = measurementRow(row);
    const same = (Object.keys(stored) as (keyof RunMeasurement)[]).every((key) => stored[key] === measurement[key]);
    return same ? "duplicate" : "conflict";
  }
}

export function readSeriesRow(sql: SqliteStatements, runId: number, index: number): Float64Array | undefined {
  const bytes = seriesRowWidth * Float64Array.BYTES_PER_ELEMENT;
  const row = sql.get(
    "SELECT substr(rows, ?, ?) AS row FROM series WHERE run = ? AND chunk = ? AND count > ?",
    (index % chunkRows) * bytes + 1,
    bytes,
    runId,
    Math.floor(index / chunkRows),
    index % chunkRows,
  );
  return row === undefined ? undefined : numbersOf(row["row"] as Uint8Array);
}
