import { studentTQuantile } from "./student-t.ts";

/** Probability with which every interval of this package is meant to hold its value. */
export const confidence = 0.95;

const known = new Map<number, number>();
const mostKnown = 1024;

/**
 * Two-sided quantile of Student's t at the confidence. Kept, because the layers of a run share their degrees of freedom,
 * and those of a long run stand still.
 */
export function confidenceQuantile(degrees: number): number {
  const found = known.get(degrees);
  if (found !== undefined) return found;
  const quantile = studentTQuantile((1 + confidence) / 2, degrees);
  if (known.size === mostKnown) known.clear();
  known.set(degrees, quantile);
  return quantile;
}
