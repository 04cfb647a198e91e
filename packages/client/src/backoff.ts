/** How long to wait before the next attempt [ms]. */
export interface BackoffOptions {
  readonly firstMs: number;
  readonly maxMs: number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/**
 * Exponential backoff with equal jitter: half of the doubled delay is kept, the other half is random, so that many
 * training processes that lost one collector do not come back in the same instant.
 * @param failures - attempts that failed in a row, from 1
 * @param retryAfterMs - what the collector asked for; it is a lower bound
 */
export function backoffMs(failures: number, retryAfterMs: number | undefined, options: BackoffOptions): number {
  const doubled = Math.min(options.maxMs, options.firstMs * 2 ** (failures - 1));
  return Math.max(doubled / 2 + (doubled / 2) * options.random(), retryAfterMs ?? 0);
}

/** Reads a `Retry-After` header: seconds or an HTTP date. Undefined where it is missing or not understood. */
export function retryAfterMs(header: string | null, nowMs: number): number | undefined {
  if (header === null) return undefined;
  if (/^\s*\d+\s*$/.test(header)) return Number(header) * 1000;
  const dateMs = Date.parse(header);
  return Number.isNaN(dateMs) ? undefined : Math.max(0, dateMs - nowMs);
}
