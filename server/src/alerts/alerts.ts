import type { AlertMessage, RunEvent } from "@noisescale/protocol";
import type { TrackerAlert } from "@noisescale/tracker";
import type { ConfiguredTrackers } from "../outbox/configured-tracker.ts";
import type { AlertRow, RunRow, StoreTransaction } from "../store/store.ts";
import type { AlertSettings } from "./alert-settings.ts";
import { recordNotFinite } from "./not-finite.ts";
import { slackMessage } from "./slack-message.ts";
import type { Webhook, Webhooks } from "./webhook.ts";

export interface AlertParts {
  readonly settings: AlertSettings;
  readonly trackers: ConfiguredTrackers;
  readonly webhooks: Webhooks;
  /** Address under which people reach the page; undefined: messages have no link. */
  readonly publicUrl: string | undefined;
}

/** Names of the trackers that something new waits for. */
export type AlertedTrackers = readonly string[];

/** Puts alerts into the history and on the way to trackers and webhooks, all in the caller's transaction. */
export class Alerts {
  readonly #parts: AlertParts;

  constructor(parts: AlertParts) {
    this.#parts = parts;
  }

  get settings(): AlertSettings {
    return this.#parts.settings;
  }

  /** What events say of the training. @param fresh - events that are new */
  async ofEvents(
    transaction: StoreTransaction,
    run: RunRow,
    attempt: number,
    fresh: readonly RunEvent[],
  ): Promise<AlertedTrackers> {
    const settings = this.#parts.settings(run.declaration.project);
    return this.send(transaction, run, await recordNotFinite(transaction, run, attempt, fresh, settings));
  }

  /** The run was heard of: measurements, or its end. */
  async heard(transaction: StoreTransaction, run: RunRow, step: number, nowMs: number): Promise<void> {
    await transaction.setArrived(run.id, nowMs);
    await transaction.endAlerts(run.id, "measurements-stopped", step, nowMs);
  }

  /** Sends alerts that are in the history to the run's trackers and its project's webhooks. */
  async send(transaction: StoreTransaction, run: RunRow, alerts: readonly AlertRow[]): Promise<AlertedTrackers> {
    if (alerts.length === 0) return [];
    const link = this.#link(run);
    const bodies = this.#webhooksOf(run.declaration.project).flatMap(([name, webhook]) =>
      alerts.map((alert) => ({ webhook: name, id: alert.id, body: bodyOf(webhook, messageOf(run, alert, link)) })),
    );
    await transaction.addWebhookMessages(run.id, bodies);
    const mirrored = alerts.map((alert) => trackerAlert(alert, link));
    const names: string[] = [];
    for (const { tracker } of await transaction.queues(run.id)) {
      if (this.#parts.trackers.get(tracker)?.tracker.capabilities.alerts !== true) continue;
      await transaction.addAlertDelivery(run.id, tracker, mirrored);
      names.push(tracker);
    }
    return names;
  }

  #webhooksOf(project: string): (readonly [string, Webhook])[] {
    const { webhooks: wanted } = this.#parts.settings(project);
    return [...this.#parts.webhooks].filter(
      ([name, { projects }]) => projects?.has(project) !== false && wanted?.has(name) !== false,
    );
  }

  #link({ run }: RunRow): string | null {
    const { publicUrl } = this.#parts;
    return publicUrl === undefined ? null : `${publicUrl}/runs/${encodeURIComponent(run)}`;
  }
}

function bodyOf({ kind }: Webhook, message: AlertMessage): string {
  return JSON.stringify(kind === "slack" ? slackMessage(message) : message);
}

function messageOf(run: RunRow, alert: AlertRow, link: string | null): AlertMessage {
  const { id, rule, severity, title, text, attempt, step, timeMs } = alert;
  const { project, name = null } = run.declaration;
  const named = { id, run: run.run, project, name };
  return { type: "alert", link, alert: { ...named, rule, severity, title, text, attempt, step, time_ms: timeMs } };
}

function trackerAlert({ id, rule, severity, title, text, step, timeMs }: AlertRow, link: string | null): TrackerAlert {
  return { id, rule, severity, title, text, step, timeMs: Math.round(timeMs), ...(link === null ? {} : { link }) };
}
