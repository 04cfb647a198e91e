import type { SweepPoint } from "./frontier-sweep.ts";

/** An asymptote counts as reached where the curve comes within half of it. */
const reach = 2;
/** The batch sizes' variance about the curve over that of their seeds, from which on the curve is doubted. */
const doubtful = 4;

/**
 * What a reader of a fitted frontier must know, as sentences.
 *
 * @param excess - variance of the batch sizes about the curve, over that of the seeds; 1 where there is nothing to compare
 */
export function frontierWarnings(
  frontier: {
    readonly criticalBatchSize: number;
    readonly criticalBatchSizeLow: number | undefined;
    readonly criticalBatchSizeHigh: number | undefined;
    readonly points: readonly SweepPoint[];
  },
  excess: number,
): string[] {
  const { criticalBatchSize, points } = frontier;
  const kept = points.filter(({ leftOut }) => !leftOut);
  const smallest = kept[0]?.batchSize ?? Number.NaN;
  const largest = kept.at(-1)?.batchSize ?? Number.NaN;
  const warnings: string[] = [];
  if (largest < reach * criticalBatchSize) {
    warnings.push(
      `The largest batch size, ${largest}, does not come near the least number of steps: S_min is extrapolated. Add batch sizes of ${rounded(reach * criticalBatchSize)} and above.`,
    );
  }
  if (smallest > criticalBatchSize / reach) {
    warnings.push(
      `The smallest batch size, ${smallest}, does not come near the least number of units: E_min is extrapolated. Add batch sizes of ${rounded(criticalBatchSize / reach)} and below.`,
    );
  }
  if (frontier.criticalBatchSizeLow === undefined)
    warnings.push("The runs set no lower end to the critical batch size.");
  if (frontier.criticalBatchSizeHigh === undefined)
    warnings.push("The runs set no upper end to the critical batch size.");
  const partly = kept.filter(({ neverReached }) => neverReached > 0).map(({ batchSize }) => batchSize);
  if (partly.length > 0) {
    warnings.push(
      `Some runs at ${batchSizes(partly)} never reached the target; only the others count there, which makes its steps look fewer than they are.`,
    );
  }
  const atEdge = kept.filter((point) => point.atEdge).map(({ batchSize }) => batchSize);
  if (atEdge.length > 0) {
    warnings.push(
      `At ${batchSizes(atEdge)} the best learning rate is the last one tried: a better one may lie beyond.`,
    );
  }
  if (excess > doubtful) {
    warnings.push(
      `The curve misses the batch sizes' means by ${rounded(Math.sqrt(excess))} times what their seeds allow: it may not hold, or learning rates are not tuned. The intervals are widened for it.`,
    );
  }
  return warnings;
}

function batchSizes(values: readonly number[]): string {
  return `batch size${values.length === 1 ? "" : "s"} ${values.join(", ")}`;
}

function rounded(value: number): string {
  return String(Number(value.toPrecision(2)));
}
