import type { AlertSettings } from "./alerts/alert-settings.ts";
import { seriesRowWidth, timeColumn } from "./series-row.ts";
import type { RunRow, Store } from "./store/store.ts";

/** Where nothing else is configured: no shorter silence says anything [ms]. */
const leastSilenceMs = 5 * 60_000;
/** Silence beyond this many times the run's own longest pause of late. */
const pauses = 3;
/** Measurements whose pauses count. */
const remembered = 1000;
/** Runs whose pauses are held. */
const runsHeld = 10_000;

/** How long a run may say nothing before it counts as silent: what its project configures, else what its own pauses explain. */
export class RunSilence {
  readonly #store: Store;
  readonly #settings: AlertSettings;
  /** Learnt from the pauses of each run, by its id, as of so many measurements. */
  readonly #learnt = new Map<number, { readonly measurements: number; readonly silenceMs: number }>();

  constructor(store: Store, settings: AlertSettings) {
    this.#store = store;
    this.#settings = settings;
  }

  /** Whether no run of the project is silent after so long; most runs are heard of all the time, and nothing more is read of them. */
  isShort(project: string, silenceMs: number): boolean {
    return silenceMs < (this.#settings(project).silenceMs ?? leastSilenceMs);
  }

  async isTooLong(run: RunRow, silenceMs: number): Promise<boolean> {
    return !this.isShort(run.declaration.project, silenceMs) && silenceMs >= (await this.#allowedMs(run));
  }

  async #allowedMs(run: RunRow): Promise<number> {
    const { silenceMs } = this.#settings(run.declaration.project);
    if (silenceMs !== undefined) return silenceMs;
    const measurements = run.fold?.measurements ?? 0;
    const known = this.#learnt.get(run.id);
    if (known?.measurements === measurements) return known.silenceMs;
    const learnt = Math.max(leastSilenceMs, pauses * (await this.#longestPauseMs(run)));
    if (this.#learnt.size >= runsHeld) this.#learnt.clear();
    this.#learnt.set(run.id, { measurements, silenceMs: learnt });
    return learnt;
  }

  /** Between two measurements of the current attempt: what lies between two attempts is no pause of the training. */
  async #longestPauseMs(run: RunRow): Promise<number> {
    if (run.fold === undefined) return 0;
    const { attempt, measurements } = run.fold;
    const starts = await this.#store.attemptStarts(run.id);
    const firstStep = starts.find((start) => start.attempt === attempt)?.firstStep ?? 0;
    const first = Math.max(0, measurements - remembered);
    const places = Array.from({ length: measurements - first }, (_, i) => first + i);
    const rows = await this.#store.seriesRows(run.id, places);
    const times = rows
      .filter((row) => row.length === seriesRowWidth && (row[0] as number) >= firstStep)
      .map((row) => row[timeColumn] as number);
    return times.reduce((longest, time, i) => (i === 0 ? 0 : Math.max(longest, time - (times[i - 1] as number))), 0);
  }
}
