import {
  type BriefSnapshot,
  ingestCountsSchema,
  ingestResultSchema,
  type Rejection,
  rejectionSchema,
  type Snapshot,
} from "@noisescale/protocol";
import { backoffMs } from "./backoff.ts";
import { type Outcome, sendToCollector } from "./collector-request.ts";
import { pause, within } from "./deadline.ts";
import type { DeliveryOptions, DeliveryStats } from "./delivery-options.ts";
import { SpoolAccess } from "./spool-access.ts";
import { type StampedEvent, type StampedMeasurement, WaitingRecords } from "./waiting-records.ts";
import { warnOnce } from "./warn-once.ts";

/** The collector did not take a request; what was in it has been put back. */
class Interrupted extends Error {}

/** One run's way to the collector: declaration, spool, measurements, events, in this order, one request at a time. */
export class Delivery {
  readonly #options: DeliveryOptions;
  readonly #waiting: WaitingRecords;
  readonly #spool: SpoolAccess;
  readonly #warn: (code: string, message: string) => void;
  readonly #counts = { recorded: 0, delivered: 0, rejected: 0, dropped: 0, failures: 0 };
  #declared = false;
  #stopped = false;
  #closed = false;
  #failuresInARow = 0;
  #notBeforeMs = 0;
  /** From the collector's Retry-After; not even a flush goes before it. */
  #askedToWaitUntilMs = 0;
  #batchSize: number;
  #pass: Promise<void> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #timerAtMs = 0;
  /** Dropped for want of room, and not yet reported. */
  #thinned = { count: 0, step: 0 };
  snapshot: Snapshot | BriefSnapshot | undefined;

  constructor(options: DeliveryOptions) {
    this.#options = options;
    this.#waiting = new WaitingRecords(options.maxQueue);
    this.#warn = warnOnce(options.onWarning);
    this.#spool = new SpoolAccess(options, this.#warn);
    this.#batchSize = options.batchSize;
  }

  get stats(): DeliveryStats {
    const state = this.#closed ? "closed" : this.#stopped ? "stopped" : this.#failuresInARow > 0 ? "away" : "idle";
    const waiting = this.#waiting.measurements + this.#waiting.events;
    const dropped = this.#counts.dropped + this.#spool.lost;
    return { ...this.#counts, dropped, spooled: this.#spool.spooled, waiting, state };
  }

  record(measurement: StampedMeasurement): void {
    this.#counts.recorded += 1;
    if (this.#closed || this.#stopped) {
      this.#counts.dropped += 1;
      return;
    }
    if (this.#waiting.full) this.#thin(measurement.step);
    this.#waiting.push(measurement);
    this.#schedule(this.#waiting.measurements >= this.#batchSize ? 0 : this.#options.flushEveryMs);
  }

  event(event: StampedEvent): void {
    this.#counts.recorded += 1;
    if (this.#closed || this.#stopped || !this.#waiting.pushEvent(event)) {
      this.#counts.dropped += 1;
      return;
    }
    this.#schedule(this.#options.flushEveryMs);
  }

  async flush(deadlineMs: number): Promise<boolean> {
    const deadline = Date.now() + deadlineMs;
    let leftMs = deadlineMs;
    while (!this.#done && !this.#stopped) {
      if (leftMs <= 0) return false;
      // Somebody waits, so the growing backoff is left out; what the collector asked for is kept.
      await within(this.#deliver(), leftMs);
      if (!this.#done && !this.#stopped) {
        await pause(Math.min(this.#options.backoff.firstMs, Math.max(0, deadline - Date.now())));
      }
      // Read at the end of a round: however short the deadline, one delivery is begun.
      leftMs = deadline - Date.now();
    }
    return this.#done;
  }

  async close(deadlineMs: number): Promise<boolean> {
    if (this.#closed) return this.#done;
    const delivered = await this.flush(deadlineMs);
    this.#closed = true;
    clearTimeout(this.#timer);
    if (!delivered) {
      // A request that is under way ends by its own time limit and puts its records back before they are spooled.
      await this.#pass;
      await this.#spool.take(this.#waiting);
      const lost = this.#waiting.measurements + this.#waiting.events;
      this.#waiting.takeAll();
      this.#counts.dropped += lost;
      // A refusal was said when it came.
      if (lost > 0 && !this.#stopped) {
        this.#warn("lost", `${this.#options.url} was away to the end: ${lost} records are lost.`);
      }
    }
    await this.#spool.sync();
    return delivered;
  }

  get #done(): boolean {
    return this.#waiting.empty && !this.#spool.mayHoldRecords && this.#pass === undefined;
  }

  #schedule(delayMs: number): void {
    if (this.#closed || this.#stopped || this.#pass !== undefined) return;
    const now = Date.now();
    const atMs = Math.max(now + delayMs, this.#notBeforeMs);
    if (this.#timer !== undefined) {
      if (this.#timerAtMs <= atMs) return;
      clearTimeout(this.#timer);
    }
    this.#timerAtMs = atMs;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.#deliver();
    }, atMs - now);
    // The last records keep the process alive for a moment; a collector that is away does not keep it for ever.
    if (this.#failuresInARow > 0 && typeof this.#timer === "object") this.#timer.unref();
  }

  /** Starts a pass, or joins the one that is under way. */
  #deliver(): Promise<void> {
    this.#pass ??= this.#run().finally(() => {
      this.#pass = undefined;
      if (!this.#waiting.empty || this.#failuresInARow > 0) this.#schedule(this.#options.flushEveryMs);
    });
    return this.#pass;
  }

  async #run(): Promise<void> {
    if (this.#stopped || Date.now() < this.#askedToWaitUntilMs) return;
    try {
      if (!this.#declared) await this.#declare();
      // Records stay in the file until all of it is delivered: sent twice, they count once.
      for (let file = await this.#spool.oldest(); file !== undefined; file = await this.#spool.oldest()) {
        for (let at = 0; at < file.measurements.length; at += this.#batchSize) {
          await this.#sendMeasurements(file.measurements.slice(at, at + this.#batchSize));
        }
        for (const events of Map.groupBy(file.events, (stamped) => stamped.attempt).values()) {
          await this.#sendEvents(events);
        }
        await file.remove();
      }
      while (!this.#waiting.empty) await this.#sendWaiting();
    } catch (error) {
      if (!(error instanceof Interrupted)) this.#warn("internal", `Delivery failed: ${String(error)}`);
      if (!this.#stopped) await this.#spool.take(this.#waiting);
    }
  }

  async #sendWaiting(): Promise<void> {
    const measurements = this.#waiting.takeMeasurements(this.#batchSize);
    const events = measurements.length > 0 ? [] : this.#waiting.takeEvents(this.#batchSize);
    try {
      if (measurements.length > 0) await this.#sendMeasurements(measurements);
      else await this.#sendEvents(events);
    } catch (error) {
      this.#waiting.putBack(measurements, events);
      throw error;
    }
  }

  async #declare(): Promise<void> {
    this.#continueIfDone(await this.#send("PUT", "", this.#options.declaration), "the declaration");
    this.#declared = true;
  }

  async #sendMeasurements(measurements: readonly StampedMeasurement[]): Promise<void> {
    const outcome = await this.#send("POST", "/measurements", { measurements });
    if (outcome.kind === "refused" && outcome.status === 413) return this.#sendInHalves(measurements, outcome.detail);
    this.#continueIfDone(outcome, "measurements");
    const body = outcome.kind === "done" ? outcome.body : undefined;
    const { url } = this.#options;
    const counts = ingestCountsSchema.safeParse(body);
    if (!counts.success) {
      return this.#warn("answer", `${url} answered in a form that this client does not know: update one of the two.`);
    }
    this.#counts.delivered += counts.data.accepted + counts.data.duplicates;
    this.#countRejected(counts.data.rejected, (index) => `step ${measurements[index]?.step}`);
    const whole = ingestResultSchema.safeParse(body);
    if (!whole.success) {
      this.#warn("snapshot", `${url} is of another version: its estimates are not understood here. Records do arrive.`);
      return;
    }
    this.snapshot = whole.data.snapshot;
    this.#options.onSnapshot(this.snapshot);
  }

  async #sendInHalves(measurements: readonly StampedMeasurement[], detail: string): Promise<void> {
    if (measurements.length === 1) {
      this.#counts.dropped += 1;
      this.#warn("too-large", `Step ${measurements[0]?.step} of run ${this.#options.run} is left out: ${detail}`);
      return;
    }
    this.#batchSize = Math.ceil(measurements.length / 2);
    await this.#sendMeasurements(measurements.slice(0, this.#batchSize));
    await this.#sendMeasurements(measurements.slice(Math.ceil(measurements.length / 2)));
  }

  async #sendEvents(events: readonly StampedEvent[]): Promise<void> {
    const attempt = events[0]?.attempt ?? this.#options.attempt;
    const outcome = await this.#send("POST", "/events", { attempt, events: events.map((stamped) => stamped.event) });
    this.#continueIfDone(outcome, "events");
    const rejected = rejectionSchema.array().safeParse(Object(outcome.kind === "done" ? outcome.body : {}).rejected);
    this.#countRejected(rejected.success ? rejected.data : [], (index) => `event ${events[index]?.event.code}`);
  }

  #countRejected(rejected: readonly Rejection[], nameOf: (index: number) => string): void {
    const [first] = rejected;
    if (first === undefined) return;
    this.#counts.rejected += rejected.length;
    const reason = first.path === "" ? first.message : `${first.path} ${first.message}`;
    this.#warn("rejected", `The collector refused ${nameOf(first.index)} of run ${this.#options.run}: ${reason}.`);
  }

  #thin(step: number): void {
    const count = this.#waiting.thin();
    this.#counts.dropped += count;
    this.#thinned = { count: this.#thinned.count + count, step };
    const { url, run } = this.#options;
    this.#warn("queue-full", `${url} is away: of run ${run}'s waiting measurements every second one is dropped.`);
  }

  /** What was dropped while the collector was away is told as soon as it is back. */
  #reportThinned(): void {
    const { count, step } = this.#thinned;
    if (count === 0) return;
    const event = { step, time_ms: Date.now(), kind: "dropped", code: "queue-full", count } as const;
    if (this.#waiting.pushEvent({ attempt: this.#options.attempt, event })) this.#thinned = { count: 0, step };
  }

  async #send(method: "PUT" | "POST", path: string, body: unknown): Promise<Outcome> {
    const { url, run, fetch, requestTimeoutMs, backoff } = this.#options;
    const address = `${url}/v1/runs/${encodeURIComponent(run)}${path}`;
    const outcome = await sendToCollector({ fetch, url: address, method, body, timeoutMs: requestTimeoutMs });
    if (outcome.kind === "away") {
      this.#failuresInARow += 1;
      this.#counts.failures += 1;
      this.#askedToWaitUntilMs = Date.now() + (outcome.retryAfterMs ?? 0);
      this.#notBeforeMs = Date.now() + backoffMs(this.#failuresInARow, outcome.retryAfterMs, backoff);
      this.#warn("away", `${url} does not answer (${outcome.reason}): training goes on, delivery is tried again.`);
    } else {
      this.#failuresInARow = 0;
      this.#notBeforeMs = 0;
      this.#reportThinned();
    }
    return outcome;
  }

  #continueIfDone(outcome: Outcome, what: string): void {
    if (outcome.kind === "done") return;
    if (outcome.kind === "refused") {
      if (outcome.status === 404 && this.#declared) {
        // The run was deleted, or the collector lost its data: the next pass declares it again.
        this.#declared = false;
      } else {
        const { url, run } = this.#options;
        this.#stopped = true;
        this.#warn("refused", `${url} refused ${what} of run ${run}, so nothing more is sent: ${outcome.detail}`);
      }
    }
    throw new Interrupted();
  }
}
