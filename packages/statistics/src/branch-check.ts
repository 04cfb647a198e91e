import { type BranchRun, diverged, type MeanLoss, meanLossAt, unitsOf } from "./branch-losses.ts";
import { confidence } from "./confidence.ts";
import { studentTQuantile } from "./student-t.ts";

export interface BranchCheckOptions {
  /** ε: by how much a loss may be above a smaller batch's and still count as no worse [loss]; 0.01. */
  readonly tolerance?: number | undefined;
  /** Share of the units that the loss is averaged over, at the end; 0.25. */
  readonly window?: number | undefined;
}

/** Where a batch size stands against the smaller ones. */
export type BranchVerdict = "smallest" | "within" | "beyond" | "not settled";

/** One batch size of the check. */
export interface BranchOfCheck {
  /** [units] */
  readonly batchSize: number;
  /** Averaged over the window and the seeds; infinite where a run diverged. */
  readonly loss: number;
  readonly lossLow: number | undefined;
  readonly lossHigh: number | undefined;
  readonly seeds: number;
  /** Losses in the window, of all seeds. */
  readonly losses: number;
  readonly verdict: BranchVerdict;
  /** Above the smaller batch size against which it stands worst [loss]; undefined for the smallest. */
  readonly excess: number | undefined;
  readonly excessLow: number | undefined;
  readonly excessHigh: number | undefined;
}

export interface BranchCheck {
  readonly read: true;
  readonly tolerance: number;
  /** All branches are compared after as many [units]. */
  readonly units: number;
  /** What the intervals rest on: the spread of the seeds, or of the losses in the window. */
  readonly uncertainty: "seeds" | "window";
  /** By batch size. */
  readonly branches: readonly BranchOfCheck[];
  /** The largest batch size that is no worse than every smaller one by more than the tolerance. */
  readonly largestWithin: number;
  /** The smallest batch size above it that is worse; undefined where none is. */
  readonly smallestBeyond: number | undefined;
  /** False where the noise leaves a batch size above `largestWithin` open. */
  readonly settled: boolean;
}

export interface NoBranchCheck {
  readonly read: false;
  readonly reason: string;
}

interface Branch {
  readonly batchSize: number;
  readonly runs: readonly { readonly seed: string | undefined; readonly loss: MeanLoss }[];
}

const divergedLoss: MeanLoss = { mean: Number.POSITIVE_INFINITY, variance: undefined, degrees: 0, count: 0 };

/** A difference of two mean losses. */
interface Difference {
  readonly value: number;
  readonly variance: number | undefined;
  readonly degrees: number;
}

/**
 * The largest batch size from a checkpoint on that is as good, example by example, as all smaller ones: branches are trained
 * on at B, 2B, 4B … with the rate scaled, and compared after the same number of units. Largest k with
 *
 *   L_k ≤ L_j + ε   for all j < k
 *
 * Source: Merrill et al. 2025, arXiv:2505.23971, section 3.1, with ε = 0.01; there L is an exponential average over steps
 * with α = 0.5 and without an interval, here the middle of a line over the same last units of every branch.
 * Each inequality is decided by a t interval of L_k − L_j, in pairs of runs where the seeds are the same: *within* where all
 * of them lie below ε, each at the package's confidence; *beyond* where one lies above, at the confidence shared among them
 * (Bonferroni); else *not settled*.
 *
 * @returns a reason where the runs cannot be compared
 * @throws RangeError on options or batch sizes that are not positive
 */
export function checkBranches(
  runs: readonly BranchRun[],
  options: BranchCheckOptions = {},
): BranchCheck | NoBranchCheck {
  const { tolerance = 0.01, window = 0.25 } = options;
  if (!(tolerance >= 0 && Number.isFinite(tolerance))) {
    throw new RangeError(`tolerance must be a number from 0, not ${tolerance}`);
  }
  if (!(window > 0 && window <= 1)) throw new RangeError(`window must lie above 0 and up to 1, not ${window}`);
  for (const { batchSize } of runs) {
    if (!(batchSize > 0 && Number.isFinite(batchSize)))
      throw new RangeError(`batchSize must be positive, not ${batchSize}`);
  }
  const sizes = [...new Set(runs.map(({ batchSize }) => batchSize))].sort((one, other) => one - other);
  if (sizes.length < 2)
    return unread(`At least two batch sizes are needed; there ${sizes.length === 1 ? "is one" : "is none"}.`);
  const lasting = runs.filter((run) => !diverged(run));
  if (lasting.length === 0) return unread("Every branch diverged.");
  // Not where a branch that diverged was given up.
  const units = Math.min(...lasting.map(unitsOf));
  const branches: Branch[] = [];
  for (const batchSize of sizes) {
    const own = runs.filter((run) => run.batchSize === batchSize);
    const read = own.map((run) => ({
      seed: run.seed,
      loss: diverged(run) ? divergedLoss : meanLossAt(run, units, window),
    }));
    const known = read.filter((run): run is Branch["runs"][number] => run.loss !== undefined);
    if (known.length < read.length) {
      return unread(
        `A run at batch size ${batchSize} has no loss among the last ${100 * window} % of the ${units} units that all runs trained on.`,
      );
    }
    branches.push({ batchSize, runs: known });
  }
  const uncertainty = branches.every((branch) => branch.runs.length > 1) ? "seeds" : "window";
  const found = branches.map((branch, place) => ofCheck(branch, branches.slice(0, place), uncertainty, tolerance));
  const within = found.findLastIndex(({ verdict }) => verdict === "smallest" || verdict === "within");
  const above = found.slice(within + 1);
  return {
    read: true,
    tolerance,
    units,
    uncertainty,
    branches: found,
    largestWithin: (found[within] as BranchOfCheck).batchSize,
    smallestBeyond: above.find(({ verdict }) => verdict === "beyond")?.batchSize,
    settled: above.every(({ verdict }) => verdict === "beyond"),
  };
}

function unread(reason: string): NoBranchCheck {
  return { read: false, reason };
}

function ofCheck(
  branch: Branch,
  smaller: readonly Branch[],
  uncertainty: BranchCheck["uncertainty"],
  tolerance: number,
): BranchOfCheck {
  const own = meanOf(branch, uncertainty);
  const half = halfWidth(own, confidence);
  const shared = {
    batchSize: branch.batchSize,
    loss: own.value,
    lossLow: half === undefined ? undefined : own.value - half,
    lossHigh: half === undefined ? undefined : own.value + half,
    seeds: branch.runs.length,
    losses: branch.runs.reduce((sum, { loss }) => sum + loss.count, 0),
  };
  if (smaller.length === 0) {
    return { ...shared, verdict: "smallest", excess: undefined, excessLow: undefined, excessHigh: undefined };
  }
  const differences = smaller.map((other) => differenceOf(branch, other, uncertainty));
  const worst = differences.reduce((most, difference) => (difference.value > most.value ? difference : most));
  const worstHalf = halfWidth(worst, confidence);
  return {
    ...shared,
    verdict: verdictOf(differences, tolerance),
    excess: worst.value,
    excessLow: worstHalf === undefined ? undefined : worst.value - worstHalf,
    excessHigh: worstHalf === undefined ? undefined : worst.value + worstHalf,
  };
}

function verdictOf(differences: readonly Difference[], tolerance: number): BranchVerdict {
  const each = 1 - (1 - confidence) / differences.length;
  const beyond = differences.some((difference) => {
    if (difference.value === Number.POSITIVE_INFINITY) return true;
    const half = halfWidth(difference, each);
    return half !== undefined && difference.value - half > tolerance;
  });
  if (beyond) return "beyond";
  const within = differences.every((difference) => {
    const half = halfWidth(difference, confidence);
    return half !== undefined && difference.value + half <= tolerance;
  });
  return within ? "within" : "not settled";
}

/** Half of a t interval; undefined where the error is not known. */
function halfWidth({ variance, degrees }: Difference, probability: number): number | undefined {
  if (variance === undefined) return undefined;
  return variance === 0 ? 0 : studentTQuantile((1 + probability) / 2, degrees) * Math.sqrt(variance);
}

function meanOf({ runs }: Branch, uncertainty: BranchCheck["uncertainty"]): Difference {
  const losses = runs.map(({ loss }) => loss);
  if (losses.some(({ mean }) => mean === Number.POSITIVE_INFINITY)) {
    return { value: Number.POSITIVE_INFINITY, variance: undefined, degrees: 0 };
  }
  if (uncertainty === "seeds") return spreadOf(losses.map(({ mean }) => mean));
  return sumOf(
    losses.map(({ mean, variance, degrees }) => ({ value: mean, variance, degrees })),
    1 / losses.length,
  );
}

function differenceOf(branch: Branch, other: Branch, uncertainty: BranchCheck["uncertainty"]): Difference {
  const [one, two] = [meanOf(branch, uncertainty), meanOf(other, uncertainty)];
  // A smaller batch that diverged sets no standard.
  if (two.value === Number.POSITIVE_INFINITY) return { value: Number.NEGATIVE_INFINITY, variance: 0, degrees: 1 };
  if (one.value === Number.POSITIVE_INFINITY) return one;
  if (uncertainty === "seeds") {
    const pairs = branch.runs.map(({ seed, loss }) => {
      const partner = other.runs.find((run) => run.seed === seed);
      return seed === undefined || partner === undefined ? undefined : loss.mean - partner.loss.mean;
    });
    const paired = pairs.filter((difference) => difference !== undefined);
    if (paired.length === branch.runs.length && paired.length === other.runs.length) return spreadOf(paired);
  }
  return sumOf([one, { ...two, value: -two.value }], 1);
}

/** Mean of independent values, and the variance of that mean from their spread. */
function spreadOf(values: readonly number[]): Difference {
  const count = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / count;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { value: mean, variance: squares / (count - 1) / count, degrees: count - 1 };
}

/** Weighted sum of independent means; degrees of freedom after Welch and Satterthwaite. */
function sumOf(means: readonly Difference[], weight: number): Difference {
  const value = weight * means.reduce((sum, mean) => sum + mean.value, 0);
  let [variance, perDegree] = [0, 0];
  for (const mean of means) {
    if (mean.variance === undefined) return { value, variance: undefined, degrees: 0 };
    const own = weight ** 2 * mean.variance;
    variance += own;
    perDegree += own ** 2 / mean.degrees;
  }
  return { value, variance, degrees: variance === 0 ? 1 : variance ** 2 / perDegree };
}
