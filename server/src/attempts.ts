import type { AttemptStart } from "./store/store.ts";

/** First step at which an attempt's measurements no longer count: a higher attempt wins from its own first step on. */
export function supersededFrom(attempts: readonly AttemptStart[], attempt: number): number {
  return attempts.reduce(
    (first, other) => (other.attempt > attempt ? Math.min(first, other.firstStep) : first),
    Number.POSITIVE_INFINITY,
  );
}

/** Steps that count, as stretches of one attempt each, in order of step. */
export interface Segment {
  readonly attempt: number;
  readonly from: number;
  /** Last step, included. */
  readonly to: number;
}

export function effectiveSegments(attempts: readonly AttemptStart[], fromStep: number): Segment[] {
  return attempts
    .map(({ attempt, firstStep }) => ({
      attempt,
      from: Math.max(firstStep, fromStep),
      to: Math.min(supersededFrom(attempts, attempt) - 1, Number.MAX_SAFE_INTEGER),
    }))
    .filter(({ from, to }) => from <= to)
    .sort((one, other) => one.from - other.from);
}
