import type { Client, ClientOptions } from "@noisescale/client";
import type { MeasurementInput, RunDeclarationInput } from "@noisescale/protocol";
import type { MeasurementSink } from "./report.ts";
import type { MeterOptions } from "./step-meter.ts";

/** Where the measurements go: a client, a sink, or what it takes to make a client. */
export interface WatchOptions {
  /** A client made with `createClient`; it stays open after `close`. */
  readonly client?: Client;
  /** Anything that takes measurements: an object with `record`, or a function. */
  readonly sink?: MeasurementSink | ((measurement: MeasurementInput) => void);
  /** Address of the collector; `NOISESCALE_URL`, or port 7677 of this machine. */
  readonly url?: string;
  /** Name of the run: 1 to 128 of A-Z a-z 0-9 . _ - */
  readonly run?: string;
  readonly project?: string;
  /** The rest of the run's declaration: name, group, trackers, batch limits, tags. */
  readonly declaration?: Omit<RunDeclarationInput, "project">;
  /** Where records wait on disk while the collector is away (Node only). */
  readonly spoolDirectory?: string | undefined;
  /** How long a measurement may wait for others to join it [ms]; 1000. */
  readonly flushEveryMs?: number;
  readonly onWarning?: (message: string) => void;
  /** Asked to change the batch size, between two steps; with a client of your own, give it to `createClient`. */
  readonly onRecommendation?: ClientOptions["onRecommendation"];
  readonly batchSizeLimits?: ClientOptions["batchSizeLimits"];
  /** Number of parts K of a measured batch; 4. */
  readonly parts?: number;
  /** A step in so many is measured; 10. */
  readonly every?: number;
  /** Squares of each layer too; false. */
  readonly layers?: boolean;
  /**
   * Measures B_noise too, in a step of so many: gᵀHg, for which the gradients of two halves and the curvature along them on
   * the step before's batch take some five passes more. A multiple of `every`; not measured where it is left out.
   */
  readonly hessianEvery?: number;
  /** Measures the noise scale in the optimizer's metric too, where it has second moments (Adam and its like); false. */
  readonly preconditioned?: boolean;
  /** Number of the first step, for a training that was resumed; 0. */
  readonly firstStep?: number;
}

/** @throws RangeError naming the option that is wrong */
export function checkedMeterOptions(options: WatchOptions): MeterOptions {
  const { parts = 4, every = 10, firstStep = 0, hessianEvery, preconditioned = false } = options;
  requireWhole("parts", parts, 2);
  requireWhole("every", every, 1);
  requireWhole("firstStep", firstStep, 0);
  if (hessianEvery !== undefined && !(Number.isSafeInteger(hessianEvery / every) && hessianEvery >= every)) {
    throw new RangeError(`hessianEvery: must be a multiple of every (${every}), got ${hessianEvery}`);
  }
  return { parts, every, firstStep, hessianEvery, preconditioned };
}

function requireWhole(name: string, value: number, least: number): void {
  if (!Number.isSafeInteger(value) || value < least) {
    throw new RangeError(`${name}: must be a whole number from ${least}, got ${value}`);
  }
}
