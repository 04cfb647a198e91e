import { randomBytes } from "node:crypto";
import type { AlertRule } from "@noisescale/protocol";
import { alertRow, type Row } from "./sqlite-rows.ts";
import type { SqliteStatements } from "./sqlite-statements.ts";
import type { AlertRow, NewAlert, StoreTransaction, WebhookMessageRow } from "./store.ts";

type AlertOperations = Pick<
  StoreTransaction,
  | "insertAlerts"
  | "alertsReaching"
  | "countSentAlerts"
  | "lastAlert"
  | "setAlertEnd"
  | "endAlerts"
  | "addWebhookMessages"
  | "leaseWebhookMessage"
  | "acknowledgeWebhookMessage"
  | "refuseWebhookMessage"
>;

/** Those behind it wait, so that they arrive in order. Parameter: webhook. */
export const firstWebhookMessage =
  "SELECT * FROM webhook_messages WHERE webhook = ? AND refused = 0 ORDER BY number LIMIT 1";

/** Whether it is time for a message, and nobody sends it. */
export function isDue(row: Row, nowMs: number): boolean {
  return (row["next_attempt_ms"] as number) <= nowMs && (row["lease_until_ms"] as number) <= nowMs;
}

/** Alerts and webhooks in a transaction on SQLite. */
export class SqliteAlerts implements AlertOperations {
  readonly #sql: SqliteStatements;

  constructor(sql: SqliteStatements) {
    this.#sql = sql;
  }

  async insertAlerts(runId: number, alerts: readonly NewAlert[]): Promise<readonly AlertRow[]> {
    return alerts.map((alert) => {
      const id = randomBytes(16).toString("hex");
      const row = this.#sql.get(
        `INSERT INTO alerts (run, id, attempt, step, time_ms, rule, severity, sent, title, text, ended_step, ended_time_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING number`,
        runId,
        id,
        alert.attempt,
        alert.step,
        alert.timeMs,
        alert.rule,
        alert.severity,
        alert.sent ? 1 : 0,
        alert.title,
        alert.text,
        alert.endedStep,
        alert.endedTimeMs,
      );
      return { ...alert, number: row?.["number"] as number, id, runId };
    });
  }

  async alertsReaching(runId: number, step: number): Promise<readonly AlertRow[]> {
    return this.#sql
      .all(
        "SELECT * FROM alerts WHERE run = ? AND (step > ? OR ended_step IS NULL OR ended_step > ?) ORDER BY number",
        runId,
        step,
        step,
      )
      .map(alertRow);
  }

  async countSentAlerts(runId: number, rule: AlertRule): Promise<number> {
    const row = this.#sql.get("SELECT count(*) AS n FROM alerts WHERE run = ? AND rule = ? AND sent = 1", runId, rule);
    return row?.["n"] as number;
  }

  async lastAlert(runId: number, attempt: number, rule: AlertRule): Promise<AlertRow | undefined> {
    const row = this.#sql.get(
      "SELECT * FROM alerts WHERE run = ? AND attempt = ? AND rule = ? ORDER BY number DESC LIMIT 1",
      runId,
      attempt,
      rule,
    );
    return row === undefined ? undefined : alertRow(row);
  }

  async setAlertEnd(
    number: number,
    ended: { readonly step: number; readonly timeMs: number; readonly text?: string } | null,
  ): Promise<void> {
    this.#sql.run(
      "UPDATE alerts SET ended_step = ?, ended_time_ms = ?, text = coalesce(?, text) WHERE number = ?",
      ended?.step ?? null,
      ended?.timeMs ?? null,
      ended?.text ?? null,
      number,
    );
  }

  async endAlerts(runId: number, rule: AlertRule, step: number, timeMs: number): Promise<void> {
    this.#sql.run(
      "UPDATE alerts SET ended_step = ?, ended_time_ms = ? WHERE run = ? AND rule = ? AND ended_step IS NULL",
      step,
      timeMs,
      runId,
      rule,
    );
  }

  async addWebhookMessages(
    runId: number,
    messages: readonly { readonly webhook: string; readonly id: string; readonly body: string }[],
  ): Promise<void> {
    for (const { webhook, id, body } of messages) {
      this.#sql.run(
        "INSERT INTO webhook_messages (run, webhook, id, body) VALUES (?, ?, ?, ?)",
        runId,
        webhook,
        id,
        body,
      );
    }
  }

  async leaseWebhookMessage(
    webhook: string,
    owner: string,
    nowMs: number,
    leaseUntilMs: number,
  ): Promise<WebhookMessageRow | undefined> {
    const row = this.#sql.get(firstWebhookMessage, webhook);
    if (row === undefined || !isDue(row, nowMs)) return undefined;
    const number = row["number"] as number;
    this.#sql.run(
      "UPDATE webhook_messages SET lease_owner = ?, lease_until_ms = ? WHERE number = ?",
      owner,
      leaseUntilMs,
      number,
    );
    return {
      number,
      id: row["id"] as string,
      body: row["body"] as string,
      failures: row["failures"] as number,
    };
  }

  async acknowledgeWebhookMessage(number: number, owner: string): Promise<void> {
    this.#sql.run("DELETE FROM webhook_messages WHERE number = ? AND lease_owner = ?", number, owner);
  }

  async refuseWebhookMessage(
    number: number,
    owner: string,
    failure: { readonly message: string; readonly refused: boolean; readonly nextAttemptMs: number },
  ): Promise<void> {
    this.#sql.run(
      `UPDATE webhook_messages SET failures = failures + 1, message = ?, refused = ?, next_attempt_ms = ?,
         lease_owner = NULL, lease_until_ms = 0 WHERE number = ? AND lease_owner = ?`,
      failure.message,
      failure.refused ? 1 : 0,
      failure.nextAttemptMs,
      number,
      owner,
    );
  }
}
