/** A run of a sweep, read at one target. */
export interface SweepRun {
  /** [units] */
  readonly batchSize: number;
  /** Steps until the target was reached, not necessarily whole; undefined where it never was. */
  readonly steps: number | undefined;
  readonly learningRate?: number | undefined;
}

/** The runs of one batch size at the learning rate that was chosen for it. */
export interface SweepPoint {
  /** [units] */
  readonly batchSize: number;
  /** Undefined where no run states one. */
  readonly learningRate: number | undefined;
  /** Steps of the runs that reached the target. */
  readonly steps: readonly number[];
  /** Runs that never reached it. */
  readonly neverReached: number;
  /** Over half of the runs never reached the target: the batch size is left out of the fit. */
  readonly leftOut: boolean;
  /** The chosen learning rate is the smallest or largest of at least two: a better one may lie beyond. */
  readonly atEdge: boolean;
}

/**
 * The runs of a sweep by batch size, each at the learning rate with the least median of steps. A run that never reached the
 * target counts as longer than any; of an even number of runs the lower of the two middle ones is the median, so that it is
 * known exactly where at least half reached the target. Where no rate did: the one at which most runs did.
 *
 * @returns in order of the batch size
 * @throws RangeError where a batch size, a learning rate or steps are not positive and finite
 */
export function sweepPoints(runs: readonly SweepRun[]): SweepPoint[] {
  for (const run of runs) checkRun(run);
  const byBatchSize = Map.groupBy(runs, ({ batchSize }) => batchSize);
  return [...byBatchSize]
    .sort(([one], [other]) => one - other)
    .map(([batchSize, own]) => {
      const rates = [...Map.groupBy(own, ({ learningRate }) => learningRate)]
        .sort(([one], [other]) => (one ?? 0) - (other ?? 0))
        .map(([learningRate, atRate]) => summary(learningRate, atRate));
      const chosen = rates.reduce((best, rate) => (isBetter(rate, best) ? rate : best));
      return {
        batchSize,
        learningRate: chosen.learningRate,
        steps: chosen.steps,
        neverReached: chosen.neverReached,
        leftOut: chosen.neverReached > chosen.steps.length,
        atEdge: rates.length > 1 && (chosen === rates[0] || chosen === rates.at(-1)),
      };
    });
}

interface RateSummary {
  readonly learningRate: number | undefined;
  readonly steps: readonly number[];
  readonly neverReached: number;
  readonly median: number;
}

function summary(learningRate: number | undefined, runs: readonly SweepRun[]): RateSummary {
  const steps = runs
    .map((run) => run.steps)
    .filter((value) => value !== undefined)
    .sort((one, other) => one - other);
  return {
    learningRate,
    steps,
    neverReached: runs.length - steps.length,
    median: steps[Math.ceil(runs.length / 2) - 1] ?? Number.POSITIVE_INFINITY,
  };
}

function isBetter(rate: RateSummary, best: RateSummary): boolean {
  if (rate.median !== best.median) return rate.median < best.median;
  return rate.median === Number.POSITIVE_INFINITY && rate.steps.length > best.steps.length;
}

function checkRun({ batchSize, steps, learningRate }: SweepRun): void {
  const positive = (value: number | undefined): boolean => value === undefined || (value > 0 && Number.isFinite(value));
  if (!positive(batchSize)) throw new RangeError(`batchSize must be positive and finite, not ${batchSize}`);
  if (!positive(steps)) throw new RangeError(`steps must be positive and finite, or undefined, not ${steps}`);
  if (!positive(learningRate)) throw new RangeError(`learningRate must be positive and finite, not ${learningRate}`);
}
