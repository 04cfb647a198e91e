import { setImmediate as nextTurn } from "node:timers/promises";
import { type Delivery, TrackerError, type TrackerRun } from "@noisescale/tracker";
import type { Logger } from "pino";
import type { Fold } from "../fold.ts";
import type { RunPanels } from "../panels/run-panels.ts";
import type { QueueRow, Store } from "../store/store.ts";
import type { ConfiguredTracker } from "./configured-tracker.ts";
import { makeDeliveries } from "./deliveries.ts";
import { leaseOwner } from "./lease-owner.ts";
import { retryWaitMs } from "./retry-wait.ts";

/** How often a sender looks for what is due without being woken [ms]. */
const lookEveryMs = 1000;
/** A sender that dies lets its queue go after this [ms]. */
const leaseMs = 5 * 60_000;
/** A send that takes longer counts as failed [ms]. */
const sendTimeoutMs = 2 * 60_000;
/** Runs of the tracker that stay open. */
const openRunsHeld = 64;

interface OpenRun {
  /** The queue that it was opened for; another target, or the same one named anew, is another queue. */
  readonly queue: string;
  readonly run: TrackerRun;
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
 * does not answer holds up no other.
 */
export class OutboxWorker {
  readonly #name: string;
  readonly #configured: ConfiguredTracker;
  readonly #parts: OutboxWorkerParts;
  readonly #open = new Map<number, OpenRun>();
  /** Runs, by id, with a call that took too long and has not ended. */
  readonly #late = new Set<number>();
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
    await Promise.race([this.#loop, late.promise]);
    clearTimeout(timer);
    this.#abandoned = true;
    await Promise.allSettled([...this.#open.values()].map(({ run }) => run.close()));
    this.#open.clear();
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
    const { queue, rows } = claimed;
    try {
      // Its writes may still come: they would fall on those of a call beside it.
      if (this.#late.has(queue.runId)) throw this.#noAnswer();
      const final = rows.some((row) => row.final);
      const alerts = rows.flatMap((row) => row.alerts);
      // A note that lags behind its alerts would contradict them.
      const extras = await this.#extras(queue, final || alerts.length > 0);
      const ended = final ? await this.#ended(queue) : undefined;
      if (this.#abandoned) return false;
      const delivery: Delivery = {
        points: rows.flatMap(({ points }) => points),
        panels: [],
        ...(alerts.length > 0 && { alerts }),
        ...extras?.parts,
        ...(ended && { ended }),
      };
      const open = await this.#openRun(queue);
      const position = await this.#inTime(queue, open.send(delivery, queue.position));
      if (this.#abandoned) return false;
      await store.transaction((transaction) =>
        transaction.acknowledge(queue.runId, this.#name, leaseOwner, {
          position,
          url: open.url,
          panelsMs: extras?.madeMs ?? queue.panelsMs,
        }),
      );
      this.#parts.delivered(true);
    } catch (error) {
      if (this.#abandoned) return false;
      await this.#refused(queue, error);
    }
    return true;
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

  async #openRun(queue: QueueRow): Promise<TrackerRun> {
    const held = this.#open.get(queue.runId);
    if (held?.queue === queue.queue) return held.run;
    await this.#drop(queue.runId);
    const row = await this.#parts.store.findRun(queue.run);
    const opened = this.#configured.tracker.openRun(queue.target, {
      run: queue.run,
      project: row?.declaration.project ?? queue.run,
      name: row?.declaration.name ?? queue.run,
      queue: queue.queue,
    });
    const run = await this.#inTime(queue, opened);
    this.#open.set(queue.runId, { queue: queue.queue, run });
    const oldest = this.#open.keys().next();
    if (this.#open.size > openRunsHeld && oldest.done !== true) await this.#drop(oldest.value);
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
      transaction.refuse(queue.runId, this.#name, leaseOwner, {
        message,
        parked,
        nextAttemptMs: Date.now() + waitMs,
      }),
    );
    this.#parts.delivered(false);
  }

  /** A tracker that does not answer holds up its other runs no longer than this; its own queue waits for the call's end. */
  async #inTime<T>({ runId }: QueueRow, work: Promise<T>): Promise<T> {
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      this.#late.add(runId);
      const ended = (): boolean => this.#late.delete(runId);
      work.then(ended, ended);
      late.reject(this.#noAnswer());
    }, sendTimeoutMs);
    timer.unref();
    try {
      return await Promise.race([work, late.promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  #noAnswer(): TrackerError {
    const message = `${this.#name}: no answer within ${sendTimeoutMs / 1000} s; it is tried again once the call has ended`;
    return new TrackerError(message, { retryable: true });
  }
}
