import { type Series, type SeriesMetric, seriesMetricSchema } from "@noisescale/protocol";
import { applyMeasuredFrontiers } from "./measured-rows.ts";
import { columnOf, seriesRowWidth, stepColumn, timeColumn, valueAt } from "./series-row.ts";
import type { RunRow, StepRange, Store } from "./store/store.ts";

/** A bucket has at least this many rows: two extremes, a gap, and one more. */
const smallestBucket = 4;

/** Reported by the hook now and then: that a row has none is no gap in what is known. */
const sparse: ReadonlySet<SeriesMetric> = new Set(["loss", "learning_rate"]);

interface Extreme {
  lowest: number;
  lowestRow: number;
  highest: number;
  highestRow: number;
}

/**
 * The run's series, reduced to about `points` rows. Each bucket of rows becomes two, which hold the lowest and the highest
 * value of each metric in the order in which they came, at the bucket's first and last step; and a third where a metric
 * was not known, so that a gap stays a gap.
 */
export async function readSeries(
  store: Store,
  run: RunRow,
  range: StepRange,
  metrics: readonly SeriesMetric[],
  points: number,
): Promise<Series> {
  const upperBound = await store.seriesCount(run.id, range);
  const reduced = new ReducedSeries(
    metrics,
    upperBound <= points ? 1 : Math.max(smallestBucket, Math.ceil((2 * upperBound) / points)),
  );
  const { project, group, unit } = run.declaration;
  const measured = await store.measuredFrontiers(project, group, unit);
  for await (const { rows } of store.series(run.id, range)) {
    applyMeasuredFrontiers(rows, { run, measured });
    const end = rows.length / seriesRowWidth;
    for (let row = 0; row < end; row += 1) {
      const step = rows[row * seriesRowWidth + stepColumn] as number;
      if (step >= range.from && step <= range.to) reduced.add(rows, row);
    }
  }
  return { run: run.run, unit: run.declaration.unit, ...reduced.finish() };
}

class ReducedSeries {
  readonly #metrics: readonly SeriesMetric[];
  readonly #columns: readonly number[];
  readonly #bucketRows: number;
  readonly #extremes: Extreme[];
  readonly #bucket: Float64Array;
  #filled = 0;
  #total = 0;
  readonly #step: number[] = [];
  readonly #timeMs: number[] = [];
  readonly #values: (number | null)[][];

  constructor(metrics: readonly SeriesMetric[], bucketRows: number) {
    this.#metrics = metrics;
    this.#columns = metrics.map(columnOf);
    this.#bucketRows = bucketRows;
    this.#bucket = new Float64Array(bucketRows * seriesRowWidth);
    this.#values = metrics.map(() => []);
    this.#extremes = metrics.map(() => ({ lowest: 0, lowestRow: 0, highest: 0, highestRow: 0 }));
  }

  add(rows: Float64Array, row: number): void {
    const from = row * seriesRowWidth;
    const to = this.#filled * seriesRowWidth;
    for (let i = 0; i < seriesRowWidth; i += 1) this.#bucket[to + i] = rows[from + i] as number;
    this.#filled += 1;
    this.#total += 1;
    if (this.#filled === this.#bucketRows) this.#flush();
  }

  finish(): Pick<Series, "total" | "step" | "time_ms" | "columns"> {
    this.#flush();
    const columns: Series["columns"] = {};
    this.#metrics.forEach((metric, i) => {
      columns[metric] = this.#values[i] as (number | null)[];
    });
    return { total: this.#total, step: this.#step, time_ms: this.#timeMs, columns };
  }

  #flush(): void {
    const count = this.#filled;
    this.#filled = 0;
    if (count < smallestBucket) {
      for (let row = 0; row < count; row += 1) this.#copy(row);
      return;
    }
    const gap = this.#findExtremes(count);
    const first = gap === 0 ? 1 : 0;
    const last = gap === count - 1 ? count - 2 : count - 1;
    if (gap === 0) this.#copy(gap);
    this.#extreme(first, ({ lowestRow, highestRow }) => lowestRow <= highestRow);
    if (gap > 0 && gap < count - 1) this.#copy(gap);
    this.#extreme(last, ({ lowestRow, highestRow }) => lowestRow > highestRow);
    if (gap === count - 1) this.#copy(gap);
  }

  /** Fills the extremes of the bucket; answers its first row where a metric that has values is not known, or −1. */
  #findExtremes(count: number): number {
    let gap = -1;
    this.#columns.forEach((column, i) => {
      const extreme = this.#extremes[i] as Extreme;
      extreme.lowest = Number.POSITIVE_INFINITY;
      extreme.highest = Number.NEGATIVE_INFINITY;
      let unknown = -1;
      for (let row = 0; row < count; row += 1) {
        const value = this.#bucket[row * seriesRowWidth + column] as number;
        if (value < extreme.lowest) {
          extreme.lowest = value;
          extreme.lowestRow = row;
        }
        if (value > extreme.highest) {
          extreme.highest = value;
          extreme.highestRow = row;
        }
        if (unknown < 0 && Number.isNaN(value)) unknown = row;
      }
      const partly = unknown >= 0 && extreme.highest >= extreme.lowest;
      if (partly && gap < 0 && !sparse.has(this.#metrics[i] as SeriesMetric)) gap = unknown;
    });
    return gap;
  }

  #extreme(row: number, takesLowest: (extreme: Extreme) => boolean): void {
    this.#place(row);
    this.#extremes.forEach((extreme, i) => {
      const known = extreme.highest >= extreme.lowest;
      this.#values[i]?.push(known ? (takesLowest(extreme) ? extreme.lowest : extreme.highest) : null);
    });
  }

  #copy(row: number): void {
    this.#place(row);
    this.#columns.forEach((column, i) => {
      this.#values[i]?.push(valueAt(this.#bucket, row, column));
    });
  }

  #place(row: number): void {
    this.#step.push(this.#bucket[row * seriesRowWidth + stepColumn] as number);
    this.#timeMs.push(this.#bucket[row * seriesRowWidth + timeColumn] as number);
  }
}

/** Names of every column, in the order of the wire. */
export const allMetrics: readonly SeriesMetric[] = seriesMetricSchema.options;
