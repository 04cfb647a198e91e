import { setImmediate as nextTurn } from "node:timers/promises";
import { type Delivery, TrackerError, type TrackerRun } from "@noisescale/tracker";
import type { Logger } from "pino";
import type { Fold } from "../fold.ts";
import type { RunPanels } from "../panels/run-panels.ts";
import type { OutboxRow, QueueRow, Store } from "../store/store.ts";
import type { ConfiguredTracker } from "./configured-tracker.ts";
import { makeDeliveries } from "./deliveries.ts";
import { leaseOwner } from "./lease-owner.ts";
import { retryWaitMs } from "./retry-wait.ts";

/** How often a sender looks for what is due without being woken [ms]. */
const lookEveryMs = 1000;
/** A sender that dies lets its queue go after this [ms]. */
const leaseMs = 5 * 60_000;
/** The lease of a call under way is renewed this often [ms]. */
const renewEveryMs = 60_000;
/** A call holds up its tracker's other runs no longer than this; its own run waits for its end [ms]. */
const goOnAfterMs = 2 * 60_000;
/** A call that takes longer is told to stop [ms]: many panels over a slow line take minutes, and would never get through. */
const stopAfterMs = 10 * 60_000;
/** Runs of the tracker that stay open. */
const openRunsHeld = 64;

interface OpenRun {
  /** The queue that it was opened for; another target, or the same one named anew, is another queue. */
  readonly queue: string;
  readonly run: TrackerRun;
}

interface Call {
  readonly stop: AbortController;
  /** Never rejects. */
  readonly ended: Promise<void>;
}

export interface OutboxWorkerParts {
  readonly store: Store;
  readonly fold: Fold;
  readonly panels: RunPanels;
  readonly logger: Logger;
  delivered(succeeded: boolean): void;
}

/**
 * Sends one tracker's queues, one after the other, each in order. Every tracker has a worker of its own, so that one which
 * does not answer holds up no other. A call that takes long is left under way while other runs are sent. However late it ends,
 * its success is acknowledged, and until it has ended no other call of its run begins: none is sent beside itself.
 */
export class OutboxWorker {
  readonly #name: string;
  readonly #configured: ConfiguredTracker;
  readonly #parts: OutboxWorkerParts;
  readonly #open = new Map<number, OpenRun>();
  /** Calls under way, by the run's id. */
  readonly #calls = new Map<number, Call>();
  #wake: (() => void) | undefined;
  #woken = false;
  /** Once set, the loop ends when nothing is due or at this time [Unix ms]. */
  #finishBy: number | undefined;
  /** The store may be closed: a send that is still under way is not acknowledged, and is sent again after the next start. */
  #abandoned = false;
  #loop: Promise<void> | undefined;

  constructor(name: string, configured: ConfiguredTracker, parts: OutboxWorkerParts) {
    this.#name = name;
    this.#configured = configured;
    this.#parts = parts;
  }

  start(): void {
    this.#loop = this.#run();
  }

  /** Something may be due. */
  wake(): void {
    this.#woken = true;
    this.#wake?.();
  }

  /** Sends what is due, for a bounded time, and ends; the rest stays in the outbox. */
  async finish(withinMs: number): Promise<void> {
    this.#finishBy = Date.now() + withinMs;
    this.wake();
    const late = Promise.withResolvers<void>();
    const timer = setTimeout(late.resolve, withinMs);
    await Promise.race([this.#allSent(), late.promise]);
    clearTimeout(timer);
    this.#abandoned = true;
    for (const { stop } of this.#calls.values()) stop.abort(new Error("the collector ends"));
    await Promise.allSettled([...this.#open.values()].map(({ run }) => run.close()));
    this.#open.clear();
  }

  async #allSent(): Promise<void> {
    await this.#loop;
    await Promise.all([...this.#calls.values()].map(({ ended }) => ended));
  }

  async #run(): Promise<void> {
    for (;;) {
      this.#woken = false;
      const last = this.#finishBy !== undefined;
      try {
        await this.#makeOverdue();
        while (Date.now() < (this.#finishBy ?? Number.POSITIVE_INFINITY) && (await this.#sendNext())) {
          // A tracker that answers at once must not keep requests waiting.
          await nextTurn();
        }
      } catch (error) {
        if (this.#abandoned) return;
        this.#parts.logger.error({ err: error, tracker: this.#name }, "the outbox could not be read");
      }
      if (last) return;
      await this.#wait();
    }
  }

  async #wait(): Promise<void> {
    if (this.#woken) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, lookEveryMs);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = undefined;
  }

  /** Runs that went quiet before their next points were due get them now. */
  async #makeOverdue(): Promise<void> {
    const { store, fold } = this.#parts;
    const nowMs = Date.now();
    const everyMs = this.#configured.tracker.capabilities.pushEverySeconds * 1000;
    const due = await store.overdueRuns(this.#name, nowMs - everyMs);
    for (const name of due) {
      await store.transaction(async (transaction) => {
        const run = await transaction.lockRun(name);
        if (run === undefined) return;
        const trackers = new Map([[this.#name, this.#configured]]);
        const current = await fold.current(transaction, run);
        await makeDeliveries(transaction, run, current, trackers, nowMs, { overdue: this.#name });
      });
    }
  }

  /** @returns false where nothing is due */
  async #sendNext(): Promise<boolean> {
    const { store } = this.#parts;
    const nowMs = Date.now();
    if (!(await store.hasDueQueue(this.#name, nowMs))) return false;
    const claimed = await store.transaction(async (transaction) => {
      const queue = await transaction.leaseQueue(this.#name, leaseOwner, nowMs, nowMs + leaseMs);
      if (queue === undefined) return undefined;
      return { queue, rows: await transaction.claimDeliveries(queue.runId, this.#name) };
    });
    if (claimed === undefined) return false;
    // Its lease ran out under the call, as when the machine slept; it has just been renewed.
    if (this.#calls.has(claimed.queue.runId)) return true;
    const goOn = Promise.withResolvers<void>();
    const timer = setTimeout(goOn.resolve, goOnAfterMs).unref();
    await Promise.race([this.#call(claimed.queue, claimed.rows), goOn.promise]);
    clearTimeout(timer);
    return true;
  }

  /** @returns when the call has ended, well or not */
  #call(queue: QueueRow, rows: readonly OutboxRow[]): Promise<void> {
    const stop = new AbortController();
    const startMs = Date.now();
    const overdue = setTimeout(() => {
      stop.abort(new Error(`${this.#name}: the call had not ended after ${minutes(stopAfterMs)} and was cut`));
    }, stopAfterMs).unref();
    const renewal = setInterval(() => void this.#renew(queue, Date.now() - startMs), renewEveryMs).unref();
    const ended = this.#deliver(queue, rows, stop.signal)
      .catch((error: unknown) => this.#storeFailed(error))
      .finally(() => {
        clearTimeout(overdue);
        clearInterval(renewal);
        this.#calls.delete(queue.runId);
      });
    this.#calls.set(queue.runId, { stop, ended });
    return ended;
  }

  /** @param takenMs - by the call so far */
  async #renew(queue: QueueRow, takenMs: number): Promise<void> {
    if (this.#abandoned) return;
    const { store, logger } = this.#parts;
    const message =
      takenMs < goOnAfterMs
        ? null
        : takenMs < stopAfterMs
          ? `${this.#name}: a call has taken ${minutes(takenMs)} so far; it is cut after ${minutes(stopAfterMs)}`
          : `${this.#name}: a call that was cut after ${minutes(stopAfterMs)} has still not ended; what waits is sent when it has`;
    if (message !== null) logger.warn({ run: queue.run, tracker: this.#name }, message);
    await store
      .transaction((transaction) => transaction.renewLease(queue, leaseOwner, Date.now() + leaseMs, message))
      .catch((error: unknown) => this.#storeFailed(error));
  }

  #storeFailed(error: unknown): void {
    if (this.#abandoned) return;
    this.#parts.logger.error({ err: error, tracker: this.#name }, "the outbox could not be written");
  }

  async #deliver(queue: QueueRow, rows: readonly OutboxRow[], signal: AbortSignal): Promise<void> {
    const { store } = this.#parts;
    try {
      const final = rows.some((row) => row.final);
      const alerts = rows.flatMap((row) => row.alerts);
      // A note that lags behind its alerts would contradict them.
      const extras = await this.#extras(queue, final || alerts.length > 0);
      const ended = final ? await this.#ended(queue) : undefined;
      if (this.#abandoned) return;
      const delivery: Delivery = {
        points: rows.flatMap(({ points }) => points),
        panels: [],
        ...(alerts.length > 0 && { alerts }),
        ...extras?.parts,
        ...(ended && { ended }),
      };
      const open = await this.#openRun(queue, signal);
      const position = await open.send(delivery, queue.position, signal);
      if (this.#abandoned) return;
      await store.transaction((transaction) =>
        transaction.acknowledge(queue, leaseOwner, {
          position,
          url: open.url,
          panelsMs: extras?.madeMs ?? queue.panelsMs,
        }),
      );
      this.#parts.delivered(true);
    } catch (error) {
      if (this.#abandoned) return;
      await this.#refused(queue, error);
    }
  }

  /** How training ended; undefined where it has gone on since. */
  async #ended({ run }: QueueRow): Promise<Delivery["ended"]> {
    const row = await this.#parts.store.findRun(run);
    if (row === undefined || row.state === "live") return undefined;
    return { outcome: row.state, timeMs: row.fold?.timeMs ?? row.createdMs };
  }

  /** Panels and note, where they are due. */
  async #extras(
    queue: QueueRow,
    now: boolean,
  ): Promise<{ readonly parts: Pick<Delivery, "panels" | "panelData" | "note">; readonly madeMs: number } | undefined> {
    const { capabilities } = this.#configured.tracker;
    const madeMs = Date.now();
    if (!now && madeMs - queue.panelsMs < capabilities.pushPanelsEverySeconds * 1000) return undefined;
    if (capabilities.panels.length === 0 && !capabilities.panelData && !capabilities.note) return undefined;
    try {
      const parts = await this.#parts.panels.render(queue.run, capabilities);
      return parts === undefined ? undefined : { parts, madeMs };
    } catch (error) {
      if (this.#abandoned) return undefined;
      // The numbers go without their pictures.
      this.#parts.logger.error({ err: error, run: queue.run, tracker: this.#name }, "panels could not be drawn");
      return undefined;
    }
  }

  async #openRun(queue: QueueRow, signal: AbortSignal): Promise<TrackerRun> {
    const held = this.#open.get(queue.runId);
    if (held?.queue === queue.queue) return held.run;
    await this.#drop(queue.runId);
    const row = await this.#parts.store.findRun(queue.run);
    const context = {
      run: queue.run,
      project: row?.declaration.project ?? queue.run,
      name: row?.declaration.name ?? queue.run,
      queue: queue.queue,
    };
    const run = await this.#configured.tracker.openRun(queue.target, context, signal);
    this.#open.set(queue.runId, { queue: queue.queue, run });
    const oldest = [...this.#open.keys()].find((runId) => !this.#calls.has(runId));
    if (this.#open.size > openRunsHeld && oldest !== undefined) await this.#drop(oldest);
    return run;
  }

  async #drop(runId: number): Promise<void> {
    const held = this.#open.get(runId);
    this.#open.delete(runId);
    await held?.run.close();
  }

  async #refused(queue: QueueRow, error: unknown): Promise<void> {
    const { logger, store } = this.#parts;
    const known = error instanceof TrackerError ? error : undefined;
    const parked = known !== undefined && !known.retryable;
    const message = error instanceof Error ? error.message : String(error);
    const waitMs = retryWaitMs(queue.failures, known?.retryAfterSeconds);
    logger.warn({ err: error, run: queue.run, tracker: this.#name, parked }, "delivery refused");
    // What a failed send leaves behind is not known: the next one starts from a fresh run and the stored position.
    await this.#drop(queue.runId).catch((closing: unknown) => {
      logger.warn({ err: closing, run: queue.run, tracker: this.#name }, "the tracker's run could not be closed");
    });
    await store.transaction((transaction) =>
      transaction.refuse(queue, leaseOwner, {
        message,
        parked,
        nextAttemptMs: Date.now() + waitMs,
      }),
    );
    this.#parts.delivered(false);
  }
}

function minutes(milliseconds: number): string {
  return `${Math.floor(milliseconds / 60_000)} minutes`;
}
