import type { CalibrationAnswer, GroupFrontierAnswer, Unit } from "@noisescale/protocol";
import type { MeasuredFrontiers } from "@noisescale/statistics";
import type { Row } from "./sqlite-rows.ts";
import type { SqliteStatements } from "./sqlite-statements.ts";
import type { AttemptStart, Evaluation, StepRange } from "./store.ts";

/** In order of attempt. One look-up an attempt: an aggregate would read every row of the run. */
export function readAttemptStarts(sql: SqliteStatements, runId: number): AttemptStart[] {
  const starts: AttemptStart[] = [];
  for (let attempt = -1; ; ) {
    const row = sql.get(
      "SELECT attempt, step FROM measurements WHERE run = ? AND attempt > ? ORDER BY attempt, step LIMIT 1",
      runId,
      attempt,
    );
    if (row === undefined) return starts;
    attempt = row["attempt"] as number;
    starts.push({ attempt, firstStep: row["step"] as number });
  }
}

/** The first of them, in order. */
export function readEvaluationNames(sql: SqliteStatements, runId: number, limit: number): string[] {
  const names: string[] = [];
  for (let name = ""; names.length < limit; ) {
    const row = sql.get("SELECT name FROM evaluations WHERE run = ? AND name > ? ORDER BY name LIMIT 1", runId, name);
    if (row === undefined) break;
    name = row["name"] as string;
    names.push(name);
  }
  return names;
}

export const evaluationsPerPage = 2000;

export function readEvaluations(
  sql: SqliteStatements,
  runId: number,
  name: string,
  attempt: number,
  { from, to }: StepRange,
): readonly Evaluation[] {
  return sql
    .all(
      `SELECT step, value FROM evaluations WHERE run = ? AND name = ? AND attempt = ? AND step BETWEEN ? AND ?
       ORDER BY step LIMIT ${evaluationsPerPage}`,
      runId,
      name,
      attempt,
      from,
      to,
    )
    .map((row) => ({ step: row["step"] as number, value: row["value"] as number }));
}

export function readMeasuredFrontiers(
  sql: SqliteStatements,
  project: string,
  group: string | undefined,
  unit: Unit,
): MeasuredFrontiers {
  const calibration = sql.get("SELECT ratio, ratio_low, ratio_high FROM calibrations WHERE project = ?", project);
  const frontiers =
    group === undefined
      ? []
      : sql.all(
          `SELECT target, loss, critical_batch_size, critical_batch_size_low, critical_batch_size_high
           FROM group_frontiers WHERE project = ? AND group_name = ? AND unit = ? AND loss IS NOT NULL ORDER BY target`,
          project,
          group,
          unit,
        );
  return {
    calibration: calibration && {
      ratio: calibration["ratio"] as number,
      ratioLow: end(calibration, "ratio_low"),
      ratioHigh: end(calibration, "ratio_high"),
    },
    frontiers: frontiers.map((row) => ({
      target: row["target"] as string,
      loss: row["loss"] as number,
      criticalBatchSize: row["critical_batch_size"] as number,
      criticalBatchSizeLow: end(row, "critical_batch_size_low"),
      criticalBatchSizeHigh: end(row, "critical_batch_size_high"),
    })),
  };
}

function end(row: Row, column: string): number | undefined {
  return (row[column] as number | null) ?? undefined;
}

export function readGroupFrontiers(sql: SqliteStatements, project: string, group: string): GroupFrontierAnswer[] {
  return sql
    .all("SELECT answer FROM group_frontiers WHERE project = ? AND group_name = ? ORDER BY target", project, group)
    .map((row) => JSON.parse(row["answer"] as string) as GroupFrontierAnswer);
}

export function readCalibration(sql: SqliteStatements, project: string): CalibrationAnswer | undefined {
  const row = sql.get("SELECT answer FROM calibrations WHERE project = ?", project);
  return row === undefined ? undefined : (JSON.parse(row["answer"] as string) as CalibrationAnswer);
}

/** Targets of a group that are kept. */
const keptTargets = 64;

export function writeGroupFrontier(sql: SqliteStatements, answer: GroupFrontierAnswer): void {
  sql.run(
    "INSERT OR REPLACE INTO group_frontiers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    answer.project,
    answer.group,
    answer.target,
    answer.unit,
    answer.loss,
    answer.frontier.critical_batch_size,
    answer.frontier.critical_batch_size_low,
    answer.frontier.critical_batch_size_high,
    JSON.stringify(answer),
  );
  sql.run(
    `DELETE FROM group_frontiers WHERE project = ?1 AND group_name = ?2 AND target IN (
       SELECT target FROM group_frontiers WHERE project = ?1 AND group_name = ?2 AND target <> ?3
       ORDER BY answer ->> 'time_ms' DESC LIMIT -1 OFFSET ${keptTargets - 1})`,
    answer.project,
    answer.group,
    answer.target,
  );
}

export function writeCalibration(sql: SqliteStatements, answer: CalibrationAnswer): void {
  sql.run(
    "INSERT OR REPLACE INTO calibrations VALUES (?, ?, ?, ?, ?)",
    answer.project,
    answer.ratio,
    answer.ratio_low,
    answer.ratio_high,
    JSON.stringify(answer),
  );
}
