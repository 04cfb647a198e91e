import type { BriefSnapshot, RunDeclarationInput, Snapshot } from "@noisescale/protocol";
import type { BackoffOptions } from "./backoff.ts";

export interface DeliveryOptions {
  readonly url: string;
  readonly run: string;
  readonly attempt: number;
  readonly declaration: RunDeclarationInput;
  readonly spoolDirectory: string | undefined;
  readonly maxSpoolBytes: number;
  readonly maxQueue: number;
  readonly batchSize: number;
  readonly flushEveryMs: number;
  readonly backoff: BackoffOptions;
  readonly requestTimeoutMs: number;
  readonly fetch: typeof fetch;
  readonly onWarning: (message: string) => void;
  /** Hears each of the collector's estimates; must not throw. */
  readonly onSnapshot: (snapshot: Snapshot | BriefSnapshot) => void;
}

export interface DeliveryStats {
  /** Records taken from the training process. */
  readonly recorded: number;
  /** Measurements that are at the collector now, those it had before included. */
  readonly delivered: number;
  /** Records that the collector refused. */
  readonly rejected: number;
  /** Records lost: no room, or nobody to take them. */
  readonly dropped: number;
  /** Records written to the spool. */
  readonly spooled: number;
  /** Measurements and events that wait in memory. */
  readonly waiting: number;
  /** Requests that failed and were or will be repeated. */
  readonly failures: number;
  readonly state: "idle" | "away" | "stopped" | "closed";
}
