import type { FilterInput } from "./filter-input.ts";
import {
  curvature,
  largestDeviation,
  outliers,
  outliersInRow,
  recentOutliers,
  rowTrace,
  sigma,
  smallestVariance,
} from "./filter-state.ts";

/** An outlier deviates this many times as much as any measurement lately: more than the next record of heavy tails does. */
const beyondLargest = 10;
/** In standard deviations: what normal measurements reach. The largest deviation is never taken to be less. */
const normalDeviation = 4;
/** Measurements after which a largest deviation is forgotten. */
const memory = 2000;
/** Outliers of the last 500 measurements or so that are no outliers any more: five in short order, or one in 125. */
const mostOutliers = 4.5;
const outlierMemory = 500;
/** At the start nothing is known but the kept measurements: times their median size. */
const beyondMedian = 100;

export function startOutliers(shared: Float64Array): void {
  shared[largestDeviation] = normalDeviation;
}

/**
 * Whether a measurement is so far beyond all before it that the filter leaves it out and counts it. Leaving out large
 * gradients as a rule would bias the estimate: heavy tails raise what it takes as they are seen, and where outliers come
 * too often to be any, the next one is let in. Where that one follows on others, all measurements have changed: then tr Σ
 * starts again from those in that row, and none of them counts.
 *
 * @param deviation - of B₀Q − ξS from what is expected [standard deviations]
 * @param covarianceTrace - S
 * @param parts - K
 */
export function isOutlier(shared: Float64Array, deviation: number, covarianceTrace: number, parts: number): boolean {
  const relativeVariance = Math.max((2 * (shared[curvature] as number)) / (parts - 1), smallestVariance);
  const traceDeviation = (covarianceTrace / (shared[sigma] as number) - 1) / Math.sqrt(relativeVariance);
  let seen = Math.max(deviation, traceDeviation);
  const possible = beyondLargest * (shared[largestDeviation] as number);
  shared[recentOutliers] = (shared[recentOutliers] as number) * (1 - 1 / outlierMemory);
  if (seen > possible) {
    shared[recentOutliers] = (shared[recentOutliers] as number) + 1;
    shared[outliersInRow] = (shared[outliersInRow] as number) + 1;
    shared[rowTrace] = (shared[rowTrace] as number) + covarianceTrace;
    if ((shared[recentOutliers] as number) <= mostOutliers) {
      shared[outliers] = (shared[outliers] as number) + 1;
      return true;
    }
    shared[recentOutliers] = 0;
    const inRow = shared[outliersInRow] as number;
    if (inRow > 1) {
      const trace = (shared[rowTrace] as number) / inRow;
      if (trace > 0) shared[sigma] = trace;
      shared[outliers] = (shared[outliers] as number) - inRow + 1;
      seen = possible;
    }
  }
  shared[outliersInRow] = 0;
  shared[rowTrace] = 0;
  shared[largestDeviation] = Math.max(seen, (shared[largestDeviation] as number) * (1 - 1 / memory), normalDeviation);
  return false;
}

/** The measurements to start from without outliers; all where there are too many to be outliers. */
export function withoutOutliers(kept: readonly FilterInput[]): FilterInput[] {
  const sizes = kept.map(
    ({ covarianceTrace, gradientSquaredNorm, batchSize }) =>
      Math.abs(covarianceTrace) + batchSize * Math.abs(gradientSquaredNorm),
  );
  const sorted = [...sizes].sort((one, other) => one - other);
  const middle = sorted[Math.floor(sorted.length / 2)] as number;
  const plausible = kept.filter((_, i) => middle === 0 || (sizes[i] as number) <= beyondMedian * middle);
  return kept.length - plausible.length < mostOutliers ? plausible : [...kept];
}
