import {
  type BriefSnapshot,
  defaultCollectorPort,
  fieldErrors,
  identifierSchema,
  type MeasurementInput,
  type RunDeclarationInput,
  type RunEvent,
  runDeclarationSchema,
  type Snapshot,
} from "@noisescale/protocol";
import { type BatchSizeChange, BatchSizeControl, type BatchSizeLimits } from "./batch-size-control.ts";
import { Delivery } from "./delivery.ts";
import type { DeliveryStats } from "./delivery-options.ts";
import { warnOnce } from "./warn-once.ts";

export interface ClientOptions {
  /** Address of the collector; `NOISESCALE_URL`, or port 7677 of this machine. */
  readonly url?: string | undefined;
  /** Name of the run: 1 to 128 of A-Z a-z 0-9 . _ - */
  readonly run: string;
  readonly declaration: RunDeclarationInput;
  /** Where records wait on disk while the collector is away (Node only). Without it they wait in memory. */
  readonly spoolDirectory?: string | undefined;
  /** Upper bound of the spool [bytes]; 256 MiB. */
  readonly maxSpoolBytes?: number | undefined;
  /** Measurements that may wait in memory; 10,000. */
  readonly maxQueue?: number | undefined;
  /** Measurements in one request; 1000. */
  readonly batchSize?: number | undefined;
  /** How long a record may wait for others to join it [ms]; 1000. */
  readonly flushEveryMs?: number | undefined;
  /** Delay after the first failure [ms]; 500. It doubles with each further one, up to `retryMaxMs` (30,000). */
  readonly retryFirstMs?: number | undefined;
  readonly retryMaxMs?: number | undefined;
  /** How long one request may take [ms]; 10,000. */
  readonly requestTimeoutMs?: number | undefined;
  readonly fetch?: typeof fetch | undefined;
  /** Told once of each thing that needs a person; Node's process warning by default. */
  readonly onWarning?: ((message: string) => void) | undefined;
  /** Asked to change the batch size, between two steps of a training that gives the event loop a turn. What it throws is a warning. */
  readonly onRecommendation?: ((change: BatchSizeChange) => unknown) | undefined;
  /** How far and how often `onRecommendation` may change the batch size. */
  readonly batchSizeLimits?: BatchSizeLimits | undefined;
}

export interface FlushOptions {
  /** How long to try [ms]; 5000. */
  readonly deadlineMs?: number;
}

/** Delivers one run's measurements. `record` and `event` return at once and never throw. */
export interface Client {
  readonly run: string;
  /** This process's start [Unix ms]; tells a restarted training process from the one before. */
  readonly attempt: number;
  record(measurement: MeasurementInput): void;
  event(event: RunEvent): void;
  /** The collector's last answer. */
  readonly snapshot: Snapshot | BriefSnapshot | undefined;
  readonly stats: ClientStats;
  /** @returns true if all that was recorded is at the collector; false if the deadline passed before */
  flush(options?: FlushOptions): Promise<boolean>;
  /** Flushes; what could not be delivered stays in the spool, if there is one. Later records are ignored and counted. */
  close(options?: FlushOptions): Promise<boolean>;
}

export type ClientStats = DeliveryStats;

const attemptOfThisProcess = Math.round(performance.timeOrigin);

/** @throws RangeError where the address, the run's name, the declaration or a limit is wrong, since that never mends itself */
export function createClient(options: ClientOptions): Client {
  const run = identifierSchema.safeParse(options.run);
  if (!run.success) throw new RangeError(`run ${JSON.stringify(options.run)}: ${run.error.issues[0]?.message}`);
  const declaration = runDeclarationSchema.safeParse(options.declaration);
  if (!declaration.success) {
    const fields = fieldErrors(declaration.error).map((field) => `declaration.${field.path}: ${field.message}`);
    throw new RangeError(fields.join("; "));
  }
  const control = new BatchSizeControl(options.batchSizeLimits ?? {}, options.declaration.optimizer);
  const { onRecommendation, onWarning = processWarning } = options;
  const warn = warnOnce(onWarning);
  let closing = false;
  const delivery = new Delivery({
    url: collectorUrl(options.url),
    run: options.run,
    attempt: attemptOfThisProcess,
    declaration: options.declaration,
    spoolDirectory: options.spoolDirectory,
    maxSpoolBytes: options.maxSpoolBytes ?? 256 * 2 ** 20,
    maxQueue: options.maxQueue ?? 10_000,
    batchSize: options.batchSize ?? 1000,
    flushEveryMs: options.flushEveryMs ?? 1000,
    backoff: { firstMs: options.retryFirstMs ?? 500, maxMs: options.retryMaxMs ?? 30_000, random: Math.random },
    requestTimeoutMs: options.requestTimeoutMs ?? 10_000,
    fetch: options.fetch ?? globalThis.fetch.bind(globalThis),
    onWarning,
    onSnapshot: (snapshot) => {
      // Once the training is over there is nothing to change.
      if (onRecommendation === undefined || closing) return;
      const change = control.decide(snapshot);
      if (change !== undefined) void tellLoop(onRecommendation, change, warn);
    },
  });
  return {
    run: options.run,
    attempt: attemptOfThisProcess,
    record: (measurement) => {
      const stamped = { ...measurement, attempt: measurement.attempt ?? attemptOfThisProcess };
      control.measured(stamped);
      delivery.record(stamped);
    },
    event: (event) => delivery.event({ attempt: attemptOfThisProcess, event }),
    get snapshot() {
      return delivery.snapshot;
    },
    get stats() {
      return delivery.stats;
    },
    flush: ({ deadlineMs = 5000 } = {}) => delivery.flush(deadlineMs),
    close: ({ deadlineMs = 5000 } = {}) => {
      closing = true;
      return delivery.close(deadlineMs);
    },
  };
}

/** A fault in the loop's answer, at once or later, must end neither training nor delivery. */
async function tellLoop(
  onRecommendation: (change: BatchSizeChange) => unknown,
  change: BatchSizeChange,
  warn: (code: string, message: string) => void,
): Promise<void> {
  try {
    await onRecommendation(change);
  } catch (error) {
    warn("recommendation", `onRecommendation failed, and the training goes on: ${String(error)}`);
  }
}

function collectorUrl(given: string | undefined): string {
  const url = given ?? globalThis.process?.env?.["NOISESCALE_URL"] ?? `http://127.0.0.1:${defaultCollectorPort}`;
  if (!URL.canParse(url) || !/^https?:/i.test(url)) {
    throw new RangeError(
      `url ${JSON.stringify(url)}: must be an address such as http://127.0.0.1:${defaultCollectorPort}`,
    );
  }
  return url.replace(/\/+$/, "");
}

function processWarning(message: string): void {
  globalThis.process?.emitWarning?.(message, "NoisescaleWarning");
}
