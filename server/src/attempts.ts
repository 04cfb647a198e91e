import type { AttemptStart } from "./store/store.ts";

/**
 * First step at which each attempt's measurements no longer count, by attempt: a higher attempt wins from its own first step
 * on. One pass: a job that names thousands of attempts holds up no other.
 */
export function supersededFrom(attempts: readonly AttemptStart[]): ReadonlyMap<number, number> {
  const from = new Map<number, number>();
  let first = Number.POSITIVE_INFINITY;
  for (const { attempt, firstStep } of attempts.toSorted((one, other) => other.attempt - one.attempt)) {
    from.set(attempt, first);
    first = Math.min(first, firstStep);
  }
  return from;
}

/** Steps that count, as stretches of one attempt each, in order of step. */
export interface Segment {
  readonly attempt: number;
  readonly from: number;
  /** Last step, included. */
  readonly to: number;
}

export function effectiveSegments(attempts: readonly AttemptStart[], fromStep: number): Segment[] {
  const ends = supersededFrom(attempts);
  return attempts
    .map(({ attempt, firstStep }) => ({
      attempt,
      from: Math.max(firstStep, fromStep),
      to: Math.min((ends.get(attempt) as number) - 1, Number.MAX_SAFE_INTEGER),
    }))
    .filter(({ from, to }) => from <= to)
    .sort((one, other) => one.from - other.from);
}
