import { checkDelivery } from "./delivery-rules.ts";
import type {
  Delivery,
  PanelFile,
  Point,
  RunContext,
  Tracker,
  TrackerAlert,
  TrackerCapabilities,
  TrackerRun,
} from "./tracker.ts";
import { TrackerError } from "./tracker-error.ts";

/** Where a delivery is made to fail: before it is taken, or after (the answer got lost, and it will be sent again). */
export type FailurePoint = "refused" | "answer-lost";

/** What a `MemoryTracker` holds of one run; it grows with each delivery. */
export class MemoryRun {
  readonly context: RunContext;
  /** Taken deliveries, each once. */
  readonly deliveries: Delivery[] = [];

  constructor(context: RunContext) {
    this.context = context;
  }

  /** All points, in the order they were delivered. */
  get points(): readonly Point[] {
    return this.deliveries.flatMap((delivery) => delivery.points);
  }

  /** All alerts, in the order they were delivered. */
  get alerts(): readonly TrackerAlert[] {
    return this.deliveries.flatMap((delivery) => delivery.alerts ?? []);
  }

  /** The last of each panel, by `<panel> <content type>`. */
  get panels(): ReadonlyMap<string, PanelFile> {
    const panels = this.deliveries.flatMap((delivery) => delivery.panels);
    return new Map(panels.map((panel) => [`${panel.panel} ${panel.contentType}`, panel]));
  }

  /** The last of the panels' data. */
  get panelData(): string | undefined {
    return this.deliveries.findLast((delivery) => delivery.panelData !== undefined)?.panelData?.json;
  }

  /** The last note. */
  get note(): string | undefined {
    return this.deliveries.findLast((delivery) => delivery.note !== undefined)?.note?.markdown;
  }
}

/**
 * A tracker that keeps deliveries in this process's memory, for tests and for embedding. Its target is `{}` or
 * `{"id": "<name>"}`; without a name the run has the collector's own.
 */
export class MemoryTracker implements Tracker {
  readonly kind: string = "memory";
  readonly capabilities: TrackerCapabilities;
  readonly runs: Map<string, MemoryRun> = new Map();
  /** Set to make each `send` fail until it is unset. */
  failure: Error | undefined;
  #nextFailure: { readonly error: Error; readonly at: FailurePoint } | undefined;
  #waiting: (() => void)[] = [];

  constructor(capabilities: Partial<TrackerCapabilities> = {}) {
    this.capabilities = {
      panels: ["text/html", "image/png"],
      note: true,
      alerts: true,
      panelData: true,
      pushEverySeconds: 0,
      pushPanelsEverySeconds: 0,
      ...capabilities,
    };
  }

  /** Makes the next call of `send` throw `error`, before or after it took the delivery. */
  failNext(error: Error, at: FailurePoint = "refused"): void {
    this.#nextFailure = { error, at };
  }

  /** Resolves as soon as `condition` holds; it is asked again after every delivery. */
  async until(condition: (tracker: this) => boolean): Promise<void> {
    while (!condition(this)) {
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
      });
    }
  }

  async openRun(target: Readonly<Record<string, unknown>>, context: RunContext): Promise<TrackerRun> {
    const unknown = Object.keys(target).find((field) => field !== "id");
    const id = Object.hasOwn(target, "id") ? target["id"] : context.run;
    if (unknown !== undefined || typeof id !== "string" || id === "") {
      throw new TrackerError(`memory: the run takes {"id": "a name"}, not ${JSON.stringify(target)}.`, {
        retryable: false,
      });
    }
    const held = this.runs.get(id) ?? new MemoryRun(context);
    this.runs.set(id, held);
    let closed = false;
    return {
      url: null,
      send: async (delivery, position, signal) => {
        signal?.throwIfAborted();
        if (closed) throw new TrackerError(`memory: the run ${JSON.stringify(id)} was closed.`, { retryable: false });
        checkDelivery(this, delivery);
        return this.#take(held, delivery, position);
      },
      close: async () => {
        closed = true;
      },
    };
  }

  async selfTest(): Promise<string> {
    const planned = this.failure ?? this.#nextFailure?.error;
    this.#nextFailure = undefined;
    if (planned !== undefined) throw planned;
    return "Keeps deliveries in this process's memory.";
  }

  async close(): Promise<void> {}

  /** The position is the number of deliveries that were acknowledged; what lies behind it never was. */
  #take({ deliveries }: MemoryRun, delivery: Delivery, position: string | null): string {
    const planned = this.#nextFailure;
    this.#nextFailure = undefined;
    if (this.failure !== undefined) throw this.failure;
    if (planned?.at === "refused") throw planned.error;
    const acknowledged = position === null ? 0 : Number(position);
    if (!Number.isSafeInteger(acknowledged) || acknowledged < 0 || acknowledged > deliveries.length) {
      throw new TrackerError(`memory: the position ${JSON.stringify(position)} is none of this run's.`, {
        retryable: false,
      });
    }
    deliveries.splice(acknowledged, deliveries.length, structuredClone(delivery));
    for (const wake of this.#waiting.splice(0)) wake();
    if (planned?.at === "answer-lost") throw planned.error;
    return String(deliveries.length);
  }
}
