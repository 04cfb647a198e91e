import type { Logger } from "pino";
import type { RunSilence } from "../run-silence.ts";
import type { Store } from "../store/store.ts";
import type { Alerts } from "./alerts.ts";
import { raiseAlert } from "./raise-alert.ts";

const rule = "measurements-stopped";
/** How often silence is looked for [ms]. */
const lookEveryMs = 5000;

export interface SilenceParts {
  readonly store: Store;
  readonly silence: RunSilence;
  readonly alerts: Alerts;
  readonly logger: Logger;
  /** After a run was found silent. @param trackers - that something new waits for */
  raised(run: string, trackers: readonly string[]): void;
  /** [Unix ms] */
  readonly now?: () => number;
}

/**
 * Finds runs that say neither anything nor that they are over. What counts is the collector's own clock, from the arrival of the
 * last measurement on, and no time in which the collector itself did not run.
 */
export class SilenceWatch {
  readonly #parts: SilenceParts;
  readonly #now: () => number;
  readonly #startedMs: number;
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;

  constructor(parts: SilenceParts) {
    this.#parts = parts;
    this.#now = parts.now ?? Date.now;
    this.#startedMs = this.#now();
  }

  start(): void {
    this.#timer = setInterval(() => {
      this.#looking ??= this.look()
        .catch((error: unknown) => this.#parts.logger.error({ err: error }, "silent runs could not be looked for"))
        .finally(() => {
          this.#looking = undefined;
        });
    }, lookEveryMs);
    this.#timer.unref();
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#looking;
  }

  /** Looks once. */
  async look(): Promise<void> {
    const { store, silence, alerts } = this.#parts;
    const nowMs = this.#now();
    for (const { run: name, project, arrivedMs } of await store.silentRuns(nowMs)) {
      const silenceMs = nowMs - Math.max(arrivedMs, this.#startedMs);
      if (alerts.settings(project).off.has(rule) || silence.isShort(project, silenceMs)) continue;
      const run = await store.findRun(name);
      if (run !== undefined && (await silence.isTooLong(run, silenceMs))) await this.#raise(name, arrivedMs, nowMs);
    }
  }

  async #raise(name: string, arrivedMs: number, nowMs: number): Promise<void> {
    const { store, alerts, logger, raised } = this.#parts;
    const trackers = await store.transaction(async (transaction) => {
      const run = await transaction.lockRun(name);
      const stillSilent = (await store.silentRuns(arrivedMs, name)).length > 0;
      if (run?.state !== "live" || run.fold === undefined || !stillSilent) return undefined;
      const settings = alerts.settings(run.declaration.project);
      const { attempt, step } = run.fold;
      const alert = {
        attempt,
        step,
        timeMs: nowMs,
        rule,
        severity: "error",
        title: `No measurement for ${duration(nowMs - arrivedMs)}`,
        text: `The last one was of step ${step.toLocaleString("en-US")}, and the run was reported neither as finished nor as failed. Look whether the training still runs and reaches the collector; if it ended, report its end.`,
        endedStep: null,
        endedTimeMs: null,
      } as const;
      const row = await raiseAlert(transaction, run.id, alert, settings);
      return alerts.send(transaction, run, row.sent ? [row] : []);
    });
    if (trackers === undefined) return;
    logger.warn({ run: name }, "measurements have stopped");
    raised(name, trackers);
  }
}

/** In the largest unit that leaves a whole number of at least two. */
function duration(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds >= 2 * 3600) return `${Math.floor(seconds / 3600)} hours`;
  return seconds >= 120 ? `${Math.floor(seconds / 60)} minutes` : `${seconds} seconds`;
}
