/** Why a tracker did not take a delivery. Its message names the tracker, what it refused and what to do. */
export class TrackerError extends Error {
  override readonly name = "TrackerError";
  /** True: the same delivery may go through later. False: it is parked and shown. */
  readonly retryable: boolean;
  /** The tracker's own wish (`Retry-After`) [s]. */
  readonly retryAfterSeconds: number | undefined;

  constructor(
    message: string,
    options: {
      readonly retryable: boolean;
      readonly retryAfterSeconds?: number | undefined;
      readonly cause?: unknown;
    },
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.retryable = options.retryable;
    this.retryAfterSeconds = options.retryAfterSeconds;
  }
}
