import type { SQLOutputValue } from "node:sqlite";
import { type RunDeclaration, runDeclarationSchema } from "@noisescale/protocol";
import type { RunMeasurement } from "../run-measurement.ts";
import type { AlertRow, FoldPosition, ListedAlert, QueueRow, RunRow, RunState } from "./store.ts";

export type Row = Record<string, SQLOutputValue>;

const text = (value: SQLOutputValue | undefined): string => value as string;
const number = (value: SQLOutputValue | undefined): number => value as number;
const maybe = (value: SQLOutputValue | undefined): number | null => value as number | null;

const blob = (value: SQLOutputValue | undefined): Uint8Array => (value ?? new Uint8Array(0)) as Uint8Array;

export function declarationText({ tags, ...rest }: RunDeclaration): string {
  return JSON.stringify({ ...rest, ...(tags === undefined ? {} : { tags: Object.fromEntries(tags) }) });
}

export const runColumns =
  "id, run, declaration, state, created_ms, arrived_ms, version, fold_attempt, fold_step, fold_time_ms, fold_measurements, fold_state, fold_watch";

export function runRow(row: Row): RunRow {
  return {
    id: number(row["id"]),
    run: text(row["run"]),
    declaration: runDeclarationSchema.parse(JSON.parse(text(row["declaration"]))),
    state: text(row["state"]) as RunState,
    createdMs: number(row["created_ms"]),
    arrivedMs: maybe(row["arrived_ms"]) ?? undefined,
    version: number(row["version"]),
    fold:
      row["fold_state"] === null
        ? undefined
        : {
            attempt: number(row["fold_attempt"]),
            step: number(row["fold_step"]),
            timeMs: number(row["fold_time_ms"]),
            measurements: number(row["fold_measurements"]),
            state: row["fold_state"] as Uint8Array,
            watch: blob(row["fold_watch"]),
          },
  };
}

export function checkpointRow(row: Row): FoldPosition {
  return {
    attempt: number(row["attempt"]),
    step: number(row["step"]),
    timeMs: number(row["time_ms"]),
    measurements: number(row["measurements"]),
    state: row["state"] as Uint8Array,
    watch: blob(row["watch"]),
  };
}

export function measurementRow(row: Row): RunMeasurement {
  return {
    attempt: number(row["attempt"]),
    step: number(row["step"]),
    timeMs: number(row["time_ms"]),
    units: maybe(row["units"]),
    smallBatchSize: number(row["small_batch_size"]),
    smallMeanSquaredNorm: number(row["small_mean_squared_norm"]),
    smallCount: number(row["small_count"]),
    bigBatchSize: number(row["big_batch_size"]),
    bigSquaredNorm: number(row["big_squared_norm"]),
    loss: maybe(row["loss"]),
    learningRate: maybe(row["learning_rate"]),
    named: row["named"] as string | null,
  };
}

export const queueColumns = `queues.*, runs.run AS run_name,
  (SELECT count(*) FROM outbox WHERE outbox.run = queues.run AND outbox.tracker = queues.tracker) AS backlog`;

export function queueRow(row: Row): QueueRow {
  return {
    runId: number(row["run"]),
    run: text(row["run_name"]),
    tracker: text(row["tracker"]),
    target: JSON.parse(text(row["target"])) as Record<string, unknown>,
    queue: text(row["queue"]),
    position: row["position"] as string | null,
    url: row["url"] as string | null,
    failures: number(row["failures"]),
    nextAttemptMs: number(row["next_attempt_ms"]),
    message: row["message"] as string | null,
    parked: row["parked"] === 1,
    backlog: number(row["backlog"]),
    madeMs: number(row["made_ms"]),
    madeTimeMs: number(row["made_time_ms"]),
    madeMeasurements: number(row["made_measurements"]),
    layersTimeMs: number(row["layers_time_ms"]),
    panelsMs: number(row["panels_ms"]),
  };
}

export function alertRow(row: Row): AlertRow {
  return {
    number: number(row["number"]),
    id: text(row["id"]),
    runId: number(row["run"]),
    attempt: number(row["attempt"]),
    step: number(row["step"]),
    timeMs: number(row["time_ms"]),
    rule: text(row["rule"]) as AlertRow["rule"],
    severity: text(row["severity"]) as AlertRow["severity"],
    sent: row["sent"] === 1,
    title: text(row["title"]),
    text: text(row["text"]),
    endedStep: maybe(row["ended_step"]),
    endedTimeMs: maybe(row["ended_time_ms"]),
  };
}

/** Of alerts joined with their runs. */
export const listedAlertColumns =
  "alerts.*, runs.run AS run_name, runs.declaration ->> 'project' AS project, runs.declaration ->> 'name' AS name";

export function listedAlert(row: Row): ListedAlert {
  return {
    ...alertRow(row),
    run: text(row["run_name"]),
    project: text(row["project"]),
    name: row["name"] === null ? null : text(row["name"]),
  };
}

/** Numbers of a blob; copied, because a blob's bytes need not be aligned. */
export function numbersOf(blob: Uint8Array): Float64Array {
  return new Float64Array(blob.buffer.slice(blob.byteOffset, blob.byteOffset + blob.byteLength) as ArrayBuffer);
}

export function bytesOf(numbers: Float64Array): Uint8Array {
  return new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);
}
