import type { Client } from "@noisescale/client";
import type { MeasurementInput, RunEvent } from "@noisescale/protocol";

/** Where measurements go. The hook catches what a sink throws. */
export interface MeasurementSink {
  record(measurement: MeasurementInput): void;
  event?(event: RunEvent): void;
}

/** Why a step gave no measurement, or what to know about those it gave; the same codes go to the collector as events. */
export type EventCode =
  | "batch-norm"
  | "batch-too-small"
  | "not-finite"
  | "loss-not-additive"
  | "hook-failed"
  | "hessian-failed"
  | "hessian-not-repeatable"
  | "hessian-same-batch"
  | "no-second-moments"
  | "sink-failed"
  | "run-ended";

/** Hands measurements and events to the sink, counts them, and keeps every failure away from training. */
export class Report {
  readonly #sink: MeasurementSink;
  readonly #counts = new Map<EventCode, number>();
  last: MeasurementInput | undefined;
  measurements = 0;

  constructor(sink: MeasurementSink) {
    this.#sink = sink;
  }

  get counts(): Readonly<Partial<Record<EventCode, number>>> {
    return Object.fromEntries(this.#counts);
  }

  measured(measurement: MeasurementInput): void {
    this.last = measurement;
    this.measurements += 1;
    this.#guard(() => this.#sink.record(measurement));
  }

  event(step: number, kind: RunEvent["kind"], code: EventCode): void {
    this.#counts.set(code, (this.#counts.get(code) ?? 0) + 1);
    this.#guard(() => this.#sink.event?.({ step, time_ms: Date.now(), kind, code, count: 1 }));
  }

  #guard(deliver: () => void): void {
    try {
      deliver();
    } catch {
      this.#counts.set("sink-failed", (this.#counts.get("sink-failed") ?? 0) + 1);
    }
  }
}

/** A sink from what the user gave: an object with `record`, or a function. */
export function sinkOf(given: MeasurementSink | Client | ((measurement: MeasurementInput) => void)): MeasurementSink {
  return typeof given === "function" ? { record: given } : given;
}
