import type { Logger } from "pino";
import { leaseOwner } from "../outbox/lease-owner.ts";
import { retryWaitMs } from "../outbox/retry-wait.ts";
import type { Store } from "../store/store.ts";
import type { Webhook } from "./webhook.ts";
import { postWebhook } from "./webhook-request.ts";

/** How often a sender looks for what is due without being woken [ms]. */
const lookEveryMs = 1000;
/** A sender that dies lets its message go after this [ms]. */
const leaseMs = 60_000;

export interface WebhookWorkerParts {
  readonly store: Store;
  readonly logger: Logger;
  delivered(succeeded: boolean): void;
}

/**
 * Sends one webhook's messages, one after the other, in order, each until it is taken or refused for good. Every webhook has
 * a sender of its own, so that one which does not answer holds up no other, and no tracker.
 */
export class WebhookWorker {
  readonly #name: string;
  readonly #webhook: Webhook;
  readonly #parts: WebhookWorkerParts;
  readonly #closed = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #sending: Promise<void> | undefined;

  constructor(name: string, webhook: Webhook, parts: WebhookWorkerParts) {
    this.#name = name;
    this.#webhook = webhook;
    this.#parts = parts;
  }

  start(): void {
    this.#timer = setInterval(() => this.wake(), lookEveryMs);
    this.#timer.unref();
    this.wake();
  }

  /** Something may be due. */
  wake(): void {
    if (this.#closed.signal.aborted) return;
    this.#sending ??= this.#sendAll()
      .catch((error: unknown) => {
        this.#parts.logger.error({ err: error, webhook: this.#name }, "the webhook's messages could not be read");
      })
      .finally(() => {
        this.#sending = undefined;
      });
  }

  /** Sends what is due, for a bounded time; the rest is sent after the next start. */
  async finish(withinMs: number): Promise<void> {
    clearInterval(this.#timer);
    this.wake();
    const late = setTimeout(() => this.#closed.abort(new Error("the collector ends")), withinMs);
    await this.#sending;
    clearTimeout(late);
    this.#closed.abort();
  }

  async #sendAll(): Promise<void> {
    while (!this.#closed.signal.aborted && (await this.#sendNext()));
  }

  /** @returns false where nothing is due */
  async #sendNext(): Promise<boolean> {
    const { store, logger, delivered } = this.#parts;
    const nowMs = Date.now();
    if (!(await store.hasDueWebhookMessage(this.#name, nowMs))) return false;
    const message = await store.transaction((transaction) =>
      transaction.leaseWebhookMessage(this.#name, leaseOwner, nowMs, nowMs + leaseMs),
    );
    if (message === undefined) return false;
    const outcome = await postWebhook(this.#webhook, message.id, message.body, this.#closed.signal);
    await store.transaction(async (transaction) => {
      if (outcome.taken) return transaction.acknowledgeWebhookMessage(message.number, leaseOwner);
      return transaction.refuseWebhookMessage(message.number, leaseOwner, {
        message: outcome.message,
        refused: !outcome.retryable,
        nextAttemptMs: Date.now() + retryWaitMs(message.failures, outcome.retryAfterSeconds),
      });
    });
    if (!outcome.taken) logger.warn({ webhook: this.#name, why: outcome.message }, "an alert was not taken");
    delivered(outcome.taken);
    return true;
  }
}
