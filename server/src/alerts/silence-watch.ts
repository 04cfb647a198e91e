import type { Logger } from "pino";
import { seriesRowWidth, timeColumn } from "../series-row.ts";
import type { RunRow, Store } from "../store/store.ts";
import type { Alerts } from "./alerts.ts";
import { raiseAlert } from "./raise-alert.ts";

const rule = "measurements-stopped";
/** How often silence is looked for [ms]. */
const lookEveryMs = 5000;
/** Where nothing else is configured: no shorter silence is worth a message [ms]. */
const leastSilenceMs = 5 * 60_000;
/** Silence beyond this many times the run's own longest pause of late. */
const pauses = 3;
/** Measurements whose pauses count. */
const remembered = 1000;

export interface SilenceParts {
  readonly store: Store;
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
  /** The silence that each run may keep, by its name, as of so many measurements. */
  readonly #allowed = new Map<string, { readonly measurements: number; readonly silenceMs: number }>();
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
    const { store } = this.#parts;
    const nowMs = this.#now();
    const silent = await store.silentRuns(nowMs);
    const names = new Set(silent.map(({ run }) => run));
    for (const name of this.#allowed.keys()) if (!names.has(name)) this.#allowed.delete(name);
    for (const { run: name, project, arrivedMs } of silent) {
      const { off, silenceMs: configuredMs = leastSilenceMs } = this.#parts.alerts.settings(project);
      const silenceMs = nowMs - Math.max(arrivedMs, this.#startedMs);
      // Most runs are heard of all the time: nothing more is read of them.
      if (off.has(rule) || silenceMs < configuredMs) continue;
      const run = await store.findRun(name);
      if (run !== undefined && silenceMs >= (await this.#allowedMs(run))) await this.#raise(name, arrivedMs, nowMs);
    }
  }

  async #allowedMs(run: RunRow): Promise<number> {
    const { silenceMs } = this.#parts.alerts.settings(run.declaration.project);
    if (silenceMs !== undefined) return silenceMs;
    const measurements = run.fold?.measurements ?? 0;
    const known = this.#allowed.get(run.run);
    if (known?.measurements === measurements) return known.silenceMs;
    const learnt = Math.max(leastSilenceMs, pauses * (await this.#longestPauseMs(run)));
    this.#allowed.set(run.run, { measurements, silenceMs: learnt });
    return learnt;
  }

  /** Between two measurements of the current attempt: what lies between two attempts is no pause of the training. */
  async #longestPauseMs(run: RunRow): Promise<number> {
    const { store } = this.#parts;
    if (run.fold === undefined) return 0;
    const { attempt, measurements } = run.fold;
    const starts = await store.transaction((transaction) => transaction.attemptStarts(run.id));
    const firstStep = starts.find((start) => start.attempt === attempt)?.firstStep ?? 0;
    const first = Math.max(0, measurements - remembered);
    const places = Array.from({ length: measurements - first }, (_, i) => first + i);
    const rows = await store.seriesRows(run.id, places);
    const times = rows
      .filter((row) => row.length === seriesRowWidth && (row[0] as number) >= firstStep)
      .map((row) => row[timeColumn] as number);
    return times.reduce((longest, time, i) => (i === 0 ? 0 : Math.max(longest, time - (times[i - 1] as number))), 0);
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
