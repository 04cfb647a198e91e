import { type Client, createClient, type FlushOptions } from "@noisescale/client";
import type { BriefSnapshot, MeasurementInput, RunDeclarationInput, Snapshot } from "@noisescale/protocol";
import { type EventCode, Report, sinkOf } from "./report.ts";
import { StepMeter } from "./step-meter.ts";
import { checkedMeterOptions, type WatchOptions } from "./watch-options.ts";

/** A watched training. */
export interface Watcher {
  /** The last measurement. */
  readonly last: MeasurementInput | undefined;
  /** The collector's last answer; undefined with a sink of your own. */
  readonly snapshot: Snapshot | BriefSnapshot | undefined;
  /** Measurements so far. */
  readonly measurements: number;
  /** What was left out or warned of, by code; see the README. */
  readonly counts: Readonly<Partial<Record<EventCode, number>>>;
  /** Number of the step that comes next. */
  readonly step: number;
  /** Waits for the readings that are under way, then for their delivery. @returns false if the deadline passed before */
  flush(options?: FlushOptions): Promise<boolean>;
  /** Reports the run as finished (or failed), flushes, detaches. A client that was given stays open. */
  close(options?: FlushOptions & { readonly failed?: boolean }): Promise<boolean>;
  /** Gives the model back as it was. A `fit` that is running goes on unmeasured. */
  detach(): void;
}

/** What `watch` and `watchLoop` share: the meter, the report, and the way to the collector. */
export class WatcherCore implements Watcher {
  readonly meter: StepMeter;
  readonly #report: Report;
  readonly #client: Client | undefined;
  readonly #ownsClient: boolean;
  readonly #onDetach: () => void;
  #closed: Promise<boolean> | undefined;

  constructor(options: WatchOptions, optimizer: RunDeclarationInput["optimizer"], onDetach: () => void) {
    const meterOptions = checkedMeterOptions(options);
    this.#ownsClient = options.client === undefined && options.sink === undefined;
    this.#client = options.sink === undefined ? (options.client ?? ownClient(options, optimizer)) : options.client;
    if (options.onRecommendation !== undefined && !this.#ownsClient) {
      throw new RangeError(
        "onRecommendation: give it to createClient; a sink has no collector that could recommend anything",
      );
    }
    const sink = options.sink ?? this.#client;
    if (sink === undefined) throw new RangeError("watch: give client, sink, or run and project");
    this.#report = new Report(sinkOf(sink));
    this.meter = new StepMeter(meterOptions, this.#report);
    this.#onDetach = onDetach;
  }

  get last(): MeasurementInput | undefined {
    return this.#report.last;
  }

  get snapshot(): Snapshot | BriefSnapshot | undefined {
    return this.#client?.snapshot;
  }

  get measurements(): number {
    return this.#report.measurements;
  }

  get counts(): Readonly<Partial<Record<EventCode, number>>> {
    return this.#report.counts;
  }

  get step(): number {
    return this.meter.nextStep;
  }

  async flush(options: FlushOptions = {}): Promise<boolean> {
    await this.meter.settled;
    return (await this.#client?.flush(options)) ?? true;
  }

  close(options: FlushOptions & { readonly failed?: boolean } = {}): Promise<boolean> {
    this.#closed ??= this.#end(options);
    return this.#closed;
  }

  async #end({ failed = false, ...options }: FlushOptions & { readonly failed?: boolean }): Promise<boolean> {
    this.detach();
    await this.meter.settled;
    this.#report.event(Math.max(0, this.meter.nextStep - 1), failed ? "failed" : "finished", "run-ended");
    if (this.#client === undefined) return true;
    return this.#ownsClient ? this.#client.close(options) : this.#client.flush(options);
  }

  detach(): void {
    this.#onDetach();
    this.meter.release();
  }
}

function ownClient(options: WatchOptions, optimizer: RunDeclarationInput["optimizer"]): Client {
  const { run, project, declaration, url, spoolDirectory, flushEveryMs, onWarning } = options;
  if (run === undefined || project === undefined) {
    throw new RangeError("watch: give run and project (or a client, or a sink), so that the measurements have a place");
  }
  return createClient({
    run,
    url,
    spoolDirectory,
    flushEveryMs,
    onWarning,
    onRecommendation: options.onRecommendation,
    batchSizeLimits: options.batchSizeLimits,
    declaration: { unit: "example", ...(optimizer === undefined ? {} : { optimizer }), ...declaration, project },
  });
}
