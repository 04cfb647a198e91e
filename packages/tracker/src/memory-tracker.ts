import { checkDelivery } from "./delivery-rules.ts";
import type { Delivery, PanelFile, Point, RunContext, Tracker, TrackerCapabilities, TrackerRun } from "./tracker.ts";
import { TrackerError } from "./tracker-error.ts";

/** What a `MemoryTracker` holds of one run. */
export interface MemoryRun {
  readonly context: RunContext;
  readonly deliveries: readonly Delivery[];
  /** All points, in the order they were delivered. */
  readonly points: readonly Point[];
  /** The last of each panel, by `panel` and content type. */
  readonly panels: readonly PanelFile[];
  readonly note: string | undefined;
}

/** Where a delivery is made to fail: before it is taken, or after (the answer got lost, and it will be sent again). */
export type FailurePoint = "refused" | "answer-lost";

/**
 * A tracker that keeps deliveries in this process's memory, for tests and for embedding. Its target is `{}` or
 * `{"run": "<name>"}`; without a name the run has the collector's own.
 */
export class MemoryTracker implements Tracker {
  readonly kind = "memory";
  readonly capabilities: TrackerCapabilities;
  readonly #deliveries = new Map<string, { readonly context: RunContext; readonly taken: Delivery[] }>();
  #failure: { readonly error: Error; readonly at: FailurePoint; left: number } | undefined;
  #changed: (() => void)[] = [];

  constructor(capabilities: Partial<TrackerCapabilities> = {}) {
    this.capabilities = {
      panels: ["text/html", "image/png"],
      note: true,
      pushEverySeconds: 0,
      pushPanelsEverySeconds: 0,
      ...capabilities,
    };
  }

  /** Makes the next `times` calls of `send` throw `error`. */
  failNext(error: Error, options: { readonly at?: FailurePoint; readonly times?: number } = {}): void {
    this.#failure = { error, at: options.at ?? "refused", left: options.times ?? 1 };
  }

  /** What was delivered to a run; undefined where it was never opened. */
  run(name: string): MemoryRun | undefined {
    const found = this.#deliveries.get(name);
    if (found === undefined) return undefined;
    const panels = new Map<string, PanelFile>();
    let note: string | undefined;
    for (const delivery of found.taken) {
      for (const panel of delivery.panels) panels.set(`${panel.panel} ${panel.contentType}`, panel);
      note = delivery.note?.markdown ?? note;
    }
    return {
      context: found.context,
      deliveries: [...found.taken],
      points: found.taken.flatMap((delivery) => delivery.points),
      panels: [...panels.values()],
      note,
    };
  }

  /** Resolves as soon as `condition` holds; it is asked again after every delivery. */
  async until(condition: (tracker: MemoryTracker) => boolean): Promise<void> {
    while (!condition(this)) {
      await new Promise<void>((resolve) => {
        this.#changed.push(resolve);
      });
    }
  }

  async openRun(target: Readonly<Record<string, unknown>>, context: RunContext): Promise<TrackerRun> {
    const unknown = Object.keys(target).find((field) => field !== "run");
    if (unknown !== undefined) {
      throw new TrackerError(`memory: the run has an unknown field ${JSON.stringify(unknown)}; only "run" is known.`, {
        retryable: false,
      });
    }
    const name = Object.hasOwn(target, "run") ? target["run"] : context.run;
    if (typeof name !== "string" || name === "") {
      throw new TrackerError('memory: the field "run" must be a name.', { retryable: false });
    }
    const { taken } = this.#deliveries.get(name) ?? { taken: [] };
    this.#deliveries.set(name, { context, taken });
    let closed = false;
    return {
      url: null,
      send: async (delivery, position) => {
        if (closed) throw new TrackerError(`memory: the run ${JSON.stringify(name)} is closed.`, { retryable: false });
        checkDelivery(this.kind, delivery);
        return this.#take(taken, delivery, position);
      },
      close: async () => {
        closed = true;
      },
    };
  }

  async close(): Promise<void> {}

  /** The position is the number of deliveries that were acknowledged; what lies after it was never acknowledged. */
  #take(taken: Delivery[], delivery: Delivery, position: string | null): string {
    const failure = this.#failure !== undefined && this.#failure.left > 0 ? this.#failure : undefined;
    if (failure !== undefined) failure.left -= 1;
    if (failure?.at === "refused") throw failure.error;
    const acknowledged = position === null ? 0 : Number(position);
    if (!Number.isSafeInteger(acknowledged) || acknowledged < 0 || acknowledged > taken.length) {
      throw new TrackerError(`memory: the position ${JSON.stringify(position)} is none of this run's.`, {
        retryable: false,
      });
    }
    taken.splice(acknowledged, taken.length, structuredClone(delivery));
    for (const wake of this.#changed.splice(0)) wake();
    if (failure?.at === "answer-lost") throw failure.error;
    return String(taken.length);
  }
}
