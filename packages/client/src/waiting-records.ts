import type { MeasurementInput, RunEvent } from "@noisescale/protocol";

/** A measurement with the attempt that it belongs to. */
export type StampedMeasurement = MeasurementInput & { readonly attempt: number };

/** An event with the attempt that it belongs to; on the wire the attempt stands beside the list. */
export interface StampedEvent {
  readonly attempt: number;
  readonly event: RunEvent;
}

/** Measurements and events that wait for delivery: in order, and bounded. */
export class WaitingRecords {
  readonly #maxMeasurements: number;
  #measurements: StampedMeasurement[] = [];
  #events: StampedEvent[] = [];

  constructor(maxMeasurements: number) {
    this.#maxMeasurements = maxMeasurements;
  }

  get measurements(): number {
    return this.#measurements.length;
  }

  get events(): number {
    return this.#events.length;
  }

  get empty(): boolean {
    return this.#measurements.length === 0 && this.#events.length === 0;
  }

  get full(): boolean {
    return this.#measurements.length >= this.#maxMeasurements;
  }

  push(measurement: StampedMeasurement): void {
    this.#measurements.push(measurement);
  }

  /** @returns false if there is no room: at most as many events as measurements may wait */
  pushEvent(event: StampedEvent): boolean {
    if (this.#events.length >= this.#maxMeasurements) return false;
    this.#events.push(event);
    return true;
  }

  takeMeasurements(count: number): StampedMeasurement[] {
    return this.#measurements.splice(0, count);
  }

  /** The oldest events that share one attempt. */
  takeEvents(count: number): StampedEvent[] {
    const attempt = this.#events[0]?.attempt;
    const end = this.#events.findIndex((stamped) => stamped.attempt !== attempt);
    return this.#events.splice(0, Math.min(count, end === -1 ? this.#events.length : end));
  }

  /** Puts back what was taken and could not be delivered. */
  putBack(measurements: readonly StampedMeasurement[], events: readonly StampedEvent[]): void {
    this.#measurements = [...measurements, ...this.#measurements];
    this.#events = [...events, ...this.#events];
  }

  takeAll(): { readonly measurements: StampedMeasurement[]; readonly events: StampedEvent[] } {
    const all = { measurements: this.#measurements, events: this.#events };
    this.#measurements = [];
    this.#events = [];
    return all;
  }

  /**
   * Drops every second measurement. What is left still spans the whole outage evenly, and which ones go does not depend
   * on their values, so the estimate stays unbiased and only widens.
   * @returns how many were dropped
   */
  thin(): number {
    const before = this.#measurements.length;
    this.#measurements = this.#measurements.filter((_, index) => index % 2 === 0);
    return before - this.#measurements.length;
  }
}
