import { randomBytes } from "node:crypto";
import type { Point, TrackerAlert } from "@noisescale/tracker";
import { SqliteAlerts } from "./sqlite-alerts.ts";
import { queueColumns, queueRow } from "./sqlite-rows.ts";
import type { SqliteStatements } from "./sqlite-statements.ts";
import type { LeasedQueue, MadeMarks, NewDelivery, OutboxRow, QueueRow, StoreTransaction } from "./store.ts";

/** Deliveries that one claim takes at most. */
const claimLimit = 64;

/** Parameters: tracker, now, now. */
export const dueQueues = `FROM queues JOIN runs ON runs.id = queues.run
  WHERE tracker = ? AND parked = 0 AND next_attempt_ms <= ? AND lease_until_ms <= ?
    AND EXISTS (SELECT 1 FROM outbox WHERE outbox.run = queues.run AND outbox.tracker = queues.tracker)`;

type OutboxOperations = Pick<
  StoreTransaction,
  | "putQueues"
  | "queues"
  | "addDeliveries"
  | "addAlertDelivery"
  | "leaseQueue"
  | "claimDeliveries"
  | "renewLease"
  | "acknowledge"
  | "refuse"
  | "unparkAll"
  | "releaseLeases"
>;

/** The outbox's part of a transaction on SQLite, beside that of the alerts. */
export class SqliteOutbox extends SqliteAlerts implements OutboxOperations {
  readonly #sql: SqliteStatements;

  constructor(sql: SqliteStatements) {
    super(sql);
    this.#sql = sql;
  }

  async putQueues(runId: number, targets: ReadonlyMap<string, Readonly<Record<string, unknown>>>): Promise<void> {
    for (const { tracker } of await this.queues(runId)) {
      if (targets.has(tracker)) continue;
      this.#sql.run("DELETE FROM outbox WHERE run = ? AND tracker = ?", runId, tracker);
      this.#sql.run("DELETE FROM queues WHERE run = ? AND tracker = ?", runId, tracker);
    }
    for (const [tracker, target] of targets) {
      // Another target is another run of the tracker: its position and address start anew.
      this.#sql.run(
        `INSERT INTO queues (run, tracker, target, queue) VALUES (?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET parked = 0, failures = 0, next_attempt_ms = 0, message = NULL,
           queue = iif(target = excluded.target, queue, excluded.queue),
           position = iif(target = excluded.target, position, NULL), url = iif(target = excluded.target, url, NULL),
           target = excluded.target`,
        runId,
        tracker,
        JSON.stringify(target),
        randomBytes(8).toString("hex"),
      );
    }
  }

  async queues(runId: number): Promise<readonly QueueRow[]> {
    return this.#sql
      .all(
        `SELECT ${queueColumns} FROM queues JOIN runs ON runs.id = queues.run WHERE queues.run = ? ORDER BY tracker`,
        runId,
      )
      .map(queueRow);
  }

  async addDeliveries(
    runId: number,
    tracker: string,
    deliveries: readonly NewDelivery[],
    marks: MadeMarks,
    bound: number,
  ): Promise<void> {
    for (const { points, final } of deliveries) {
      this.#sql.run(
        "INSERT INTO outbox (run, tracker, points, final) VALUES (?, ?, ?, ?)",
        runId,
        tracker,
        JSON.stringify(points),
        final ? 1 : 0,
      );
    }
    while (this.#unclaimed(runId, tracker) > bound) {
      this.#sql.run(
        `DELETE FROM outbox WHERE id IN (
           SELECT id FROM (
             SELECT id, row_number() OVER (ORDER BY id DESC) AS place FROM outbox
             WHERE run = ? AND tracker = ? AND claimed = 0 AND final = 0 AND alerts IS NULL)
           WHERE place % 2 = 0)`,
        runId,
        tracker,
      );
    }
    this.#sql.run(
      `UPDATE queues SET made_ms = ?, made_time_ms = ?, made_measurements = ?, layers_time_ms = ?
       WHERE run = ? AND tracker = ?`,
      marks.madeMs,
      marks.madeTimeMs,
      marks.madeMeasurements,
      marks.layersTimeMs,
      runId,
      tracker,
    );
  }

  async addAlertDelivery(runId: number, tracker: string, alerts: readonly TrackerAlert[]): Promise<void> {
    this.#sql.run(
      "INSERT INTO outbox (run, tracker, points, final, alerts) VALUES (?, ?, '[]', 0, ?)",
      runId,
      tracker,
      JSON.stringify(alerts),
    );
  }

  async leaseQueue(tracker: string, owner: string, nowMs: number, leaseUntilMs: number): Promise<QueueRow | undefined> {
    const row = this.#sql.get(
      `SELECT ${queueColumns} ${dueQueues} ORDER BY next_attempt_ms LIMIT 1`,
      tracker,
      nowMs,
      nowMs,
    );
    if (row === undefined) return undefined;
    const queue = queueRow(row);
    this.#sql.run(
      "UPDATE queues SET lease_owner = ?, lease_until_ms = ? WHERE run = ? AND tracker = ?",
      owner,
      leaseUntilMs,
      queue.runId,
      tracker,
    );
    return queue;
  }

  async claimDeliveries(runId: number, tracker: string): Promise<readonly OutboxRow[]> {
    if (this.#claimed(runId, tracker).length === 0) {
      this.#sql.run(
        `UPDATE outbox SET claimed = 1 WHERE id IN (
           SELECT id FROM outbox WHERE run = ? AND tracker = ? ORDER BY id LIMIT ${claimLimit})`,
        runId,
        tracker,
      );
    }
    return this.#claimed(runId, tracker);
  }

  async renewLease(
    { runId, tracker, queue }: LeasedQueue,
    owner: string,
    leaseUntilMs: number,
    message: string | null,
  ): Promise<void> {
    this.#sql.run(
      `UPDATE queues SET lease_until_ms = ?, message = iif(queue = ?, coalesce(?, message), message)
       WHERE run = ? AND tracker = ? AND lease_owner = ?`,
      leaseUntilMs,
      queue,
      message,
      runId,
      tracker,
      owner,
    );
  }

  async acknowledge(
    { runId, tracker, queue }: LeasedQueue,
    owner: string,
    sent: { readonly position: string; readonly url: string | null; readonly panelsMs: number },
  ): Promise<void> {
    const changed = this.#sql.run(
      `UPDATE queues SET position = ?, url = ?, panels_ms = ?, failures = 0, message = NULL, lease_owner = NULL,
         lease_until_ms = 0, next_attempt_ms = 0 WHERE run = ? AND tracker = ? AND lease_owner = ? AND queue = ?`,
      sent.position,
      sent.url,
      sent.panelsMs,
      runId,
      tracker,
      owner,
      queue,
    );
    if (changed === 0) {
      this.#endLease(runId, tracker, owner);
      return;
    }
    this.#sql.run("DELETE FROM outbox WHERE run = ? AND tracker = ? AND claimed = 1", runId, tracker);
  }

  async refuse(
    { runId, tracker, queue }: LeasedQueue,
    owner: string,
    failure: { readonly message: string; readonly parked: boolean; readonly nextAttemptMs: number },
  ): Promise<void> {
    const changed = this.#sql.run(
      `UPDATE queues SET failures = failures + 1, message = ?, parked = ?, next_attempt_ms = ?, lease_owner = NULL,
         lease_until_ms = 0 WHERE run = ? AND tracker = ? AND lease_owner = ? AND queue = ?`,
      failure.message,
      failure.parked ? 1 : 0,
      failure.nextAttemptMs,
      runId,
      tracker,
      owner,
      queue,
    );
    if (changed === 0) this.#endLease(runId, tracker, owner);
  }

  async unparkAll(): Promise<void> {
    this.#sql.run("UPDATE queues SET parked = 0, failures = 0, next_attempt_ms = 0");
    this.#sql.run("UPDATE webhook_messages SET refused = 0, failures = 0, next_attempt_ms = 0");
  }

  async releaseLeases(isGone: (owner: string) => boolean): Promise<void> {
    for (const table of ["queues", "webhook_messages"]) {
      const rows = this.#sql.all(`SELECT DISTINCT lease_owner AS owner FROM ${table} WHERE lease_owner IS NOT NULL`);
      for (const owner of rows.map((row) => String(row["owner"])).filter(isGone)) {
        this.#sql.run(`UPDATE ${table} SET lease_owner = NULL, lease_until_ms = 0 WHERE lease_owner = ?`, owner);
      }
    }
  }

  /** The call was another queue's: its run was given another target meanwhile. */
  #endLease(runId: number, tracker: string, owner: string): void {
    this.#sql.run(
      "UPDATE queues SET lease_owner = NULL, lease_until_ms = 0 WHERE run = ? AND tracker = ? AND lease_owner = ?",
      runId,
      tracker,
      owner,
    );
  }

  #unclaimed(runId: number, tracker: string): number {
    const row = this.#sql.get(
      "SELECT count(*) AS n FROM outbox WHERE run = ? AND tracker = ? AND claimed = 0 AND final = 0 AND alerts IS NULL",
      runId,
      tracker,
    );
    return row?.["n"] as number;
  }

  #claimed(runId: number, tracker: string): OutboxRow[] {
    return this.#sql
      .all(
        "SELECT id, points, final, alerts FROM outbox WHERE run = ? AND tracker = ? AND claimed = 1 ORDER BY id",
        runId,
        tracker,
      )
      .map((row) => ({
        id: row["id"] as number,
        points: JSON.parse(row["points"] as string) as Point[],
        alerts: row["alerts"] === null ? [] : (JSON.parse(row["alerts"] as string) as TrackerAlert[]),
        final: row["final"] === 1,
      }));
  }
}
