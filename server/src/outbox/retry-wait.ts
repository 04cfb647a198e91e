const firstRetryMs = 1000;
/** Whatever a receiver asks for: one that answers "at once" is not asked without pause. */
const shortestRetryMs = 250;
const longestRetryMs = 5 * 60_000;
/** A receiver's own wish beyond this is not believed. */
const longestWishMs = 60 * 60_000;

/**
 * How long to wait before the next try [ms]: what the receiver asked for, else twice as long with every failure; jittered,
 * so that many queues do not come back at once.
 *
 * @param failures - before this one
 */
export function retryWaitMs(failures: number, retryAfterSeconds: number | undefined): number {
  if (retryAfterSeconds !== undefined) {
    return Math.min(Math.max(retryAfterSeconds * 1000, shortestRetryMs), longestWishMs);
  }
  const ceiling = Math.min(firstRetryMs * 2 ** failures, longestRetryMs);
  return ceiling / 2 + (Math.random() * ceiling) / 2;
}
