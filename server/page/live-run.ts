import type { RunDetail, Series, Snapshot } from "@noisescale/protocol";
import { fetchRun, fetchSeries, fetchSnapshot, RefusedError, runAddress } from "./collector-api.ts";
import { joinSeries, mustReadWhole } from "./series-growth.ts";

/** What is known of a run now. */
export interface RunNow {
  readonly detail: RunDetail;
  readonly snapshot: Snapshot;
  readonly series: Series;
}

export interface LiveRunListener {
  changed(now: RunNow): void;
  /** The collector does not answer, or answers again. */
  connected(connected: boolean): void;
  gone(): void;
  /** The run cannot be shown at all. */
  refused(error: RefusedError): void;
}

const seriesEveryMs = 1000;
/** Between two readings of the whole series, which may be long [ms]. */
const wholeSeriesEveryMs = 10_000;
const detailEveryMs = 5000;
const retryMs = 2000;

/** Follows a run: first everything, then what is new, by server-sent events. */
export class LiveRun {
  readonly #run: string;
  readonly #signal: AbortSignal;
  readonly #listener: LiveRunListener;
  #now: RunNow | undefined;
  #source: EventSource | undefined;
  #reading = false;
  #readAgain = false;
  #wholeReadMs = 0;
  #detailReadMs = 0;

  constructor(run: string, signal: AbortSignal, listener: LiveRunListener) {
    this.#run = run;
    this.#signal = signal;
    this.#listener = listener;
    // A run that says nothing may fall silent, and its trackers go on.
    const quiet = setInterval(() => {
      if (!document.hidden) void this.#readDetail(false);
    }, detailEveryMs);
    signal.addEventListener("abort", () => {
      clearInterval(quiet);
      this.#source?.close();
    });
    void this.#start();
  }

  async #start(): Promise<void> {
    const answer = await this.#readAll().catch((error: unknown) => error);
    if (this.#signal.aborted) return;
    if (answer instanceof RefusedError && answer.status < 500) {
      this.#listener.refused(answer);
      // Its address is often opened before training declares the run.
      if (answer.status === 404) setTimeout(() => void this.#start(), retryMs);
    } else if (answer instanceof Error) {
      this.#listener.connected(false);
      setTimeout(() => void this.#start(), retryMs);
    } else {
      this.#wholeReadMs = performance.now();
      this.#detailReadMs = performance.now();
      this.#take(answer as RunNow);
      this.#listener.connected(true);
      this.#listen();
    }
  }

  /** The run itself first: where there is none, nothing else is asked for. */
  async #readAll(): Promise<RunNow> {
    const detail = await fetchRun(this.#run, this.#signal);
    const [snapshot, series] = await Promise.all([
      fetchSnapshot(this.#run, this.#signal),
      fetchSeries(this.#run, 0, this.#signal),
    ]);
    return { detail, snapshot, series };
  }

  #listen(): void {
    if (this.#signal.aborted) return;
    this.#source?.close();
    const source = new EventSource(runAddress(this.#run, "/events"));
    this.#source = source;
    source.addEventListener("open", () => this.#listener.connected(true));
    source.addEventListener("error", () => {
      if (this.#signal.aborted) return;
      this.#listener.connected(false);
      // The browser tries again by itself unless the answer was no stream.
      if (source.readyState === EventSource.CLOSED) void this.#listenAgain();
    });
    source.addEventListener("snapshot", ({ data }: MessageEvent<string>) => {
      if (this.#now === undefined) return;
      this.#take({ ...this.#now, snapshot: JSON.parse(data) as Snapshot });
      void this.#readSeries();
    });
    source.addEventListener("state", ({ data }: MessageEvent<string>) => {
      if (this.#now === undefined) return;
      const { state } = JSON.parse(data) as Pick<RunDetail, "state">;
      const changed = state !== this.#now.detail.state;
      if (changed) this.#take({ ...this.#now, detail: { ...this.#now.detail, state } });
      void this.#readDetail(changed);
    });
    source.addEventListener("deleted", () => {
      source.close();
      this.#listener.gone();
    });
  }

  /** No stream was answered: the run is gone, or the collector is busy or away for a while. */
  async #listenAgain(): Promise<void> {
    const answer = await fetchRun(this.#run, this.#signal).catch((error: unknown) => error);
    if (this.#signal.aborted) return;
    if (answer instanceof RefusedError && answer.status === 404) this.#listener.gone();
    else setTimeout(() => this.#listen(), retryMs);
  }

  #take(now: RunNow): void {
    this.#now = now;
    this.#listener.changed(now);
  }

  /** Reads events and the state of the trackers' queues, which change more slowly than the numbers. */
  async #readDetail(atOnce: boolean): Promise<void> {
    if (this.#now === undefined || this.#signal.aborted) return;
    if (!atOnce && performance.now() - this.#detailReadMs < detailEveryMs) return;
    this.#detailReadMs = performance.now();
    const detail = await fetchRun(this.#run, this.#signal).catch(() => undefined);
    if (detail !== undefined && this.#now !== undefined) this.#take({ ...this.#now, detail });
  }

  /** Reads what the series lacks; while one reading is under way a further wish waits for its end. */
  async #readSeries(): Promise<void> {
    if (this.#reading) {
      this.#readAgain = true;
      return;
    }
    this.#reading = true;
    try {
      await this.#readMissing();
    } catch (error) {
      if (!(error instanceof DOMException || error instanceof TypeError || error instanceof RefusedError)) throw error;
      // The next event asks again.
    }
    setTimeout(() => {
      this.#reading = false;
      if (this.#readAgain && !this.#signal.aborted) {
        this.#readAgain = false;
        void this.#readSeries();
      }
    }, seriesEveryMs);
  }

  async #readMissing(): Promise<void> {
    if (this.#now === undefined) return;
    const { series, snapshot } = this.#now;
    if (mustReadWhole(series, snapshot) && performance.now() - this.#wholeReadMs > wholeSeriesEveryMs) {
      const whole = await fetchSeries(this.#run, 0, this.#signal);
      this.#wholeReadMs = performance.now();
      this.#take({ ...this.#now, series: whole });
      return;
    }
    const last = series.step.at(-1) ?? -1;
    if (snapshot.step === null || snapshot.step <= last) return;
    const more = await fetchSeries(this.#run, last + 1, this.#signal);
    this.#take({ ...this.#now, series: joinSeries(series, more) });
  }
}
