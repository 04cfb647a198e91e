import { type AdamFactors, adamFactors, adamLearningRateFactor, sgdLearningRateFactor } from "./learning-rate.ts";

export interface BranchPlanInput {
  /** B that the checkpoint was trained with [units]. */
  readonly batchSize: number;
  /** k of the branches, at kB. */
  readonly multiples: readonly number[];
  readonly optimizer: "sgd" | "adam";
  /** 𝓑 [units]; undefined where it is not known. */
  readonly noiseScale?: number | undefined;
  /** What every branch trains on; by default 100 steps at the largest batch size [units]. */
  readonly units?: number | undefined;
}

export interface PlannedBranch {
  readonly multiple: number;
  /** [units] */
  readonly batchSize: number;
  readonly steps: number;
  readonly learningRateFactor: number;
  /** What goes with the rate; undefined for SGD. */
  readonly adam: AdamFactors | undefined;
}

export interface BranchPlan {
  /** The same for every branch, to the nearest step; a whole number of steps of the largest [units]. */
  readonly units: number;
  readonly branches: readonly PlannedBranch[];
  /** How the rate was scaled. */
  readonly rule: "sgd" | "sgd-linear" | "adam";
  /** Multiples at which the rule is not derived: Adam's square root above the noise scale. */
  readonly beyondRule: readonly number[];
}

/** So that the last quarter holds 25 losses of the largest batch size too. */
const stepsAtLargest = 100;

/**
 * Branches of a branch check, with the rate scaled: SGD by (1 + 𝓑/B)/(1 + 𝓑/kB) (McCandlish et al. 2018,
 * arXiv:1812.06162, equation 2.6), by k where 𝓑 is not known; Adam by √k, with 1 − β → k(1 − β) and ε → ε/√k (Malladi et
 * al. 2022, arXiv:2205.10287). Merrill et al. 2025, arXiv:2505.23971, section 3.1, scale by k and √k.
 *
 * @throws RangeError on a batch size, multiple, noise scale or number of units that is not positive
 */
export function planBranches({ batchSize, multiples, optimizer, noiseScale, units }: BranchPlanInput): BranchPlan {
  for (const [name, value] of Object.entries({ batchSize, noiseScale, units })) requirePositive(name, value);
  if (multiples.length === 0) throw new RangeError("multiples must not be empty");
  for (const multiple of multiples) requirePositive("multiples", multiple);
  const ordered = [...new Set(multiples)].sort((one, other) => one - other);
  const largest = batchSize * (ordered.at(-1) as number);
  const wholeSteps = Math.ceil((units ?? stepsAtLargest * largest) / largest - 1e-9);
  const factorAt = (multiple: number): number => {
    if (optimizer === "adam") return Math.sqrt(multiple);
    return noiseScale === undefined ? multiple : sgdLearningRateFactor(batchSize, multiple * batchSize, noiseScale);
  };
  return {
    units: wholeSteps * largest,
    branches: ordered.map((multiple) => ({
      multiple,
      batchSize: multiple * batchSize,
      steps: Math.round((wholeSteps * largest) / (multiple * batchSize)),
      learningRateFactor: factorAt(multiple),
      adam: optimizer === "adam" ? adamFactors(batchSize, multiple * batchSize) : undefined,
    })),
    rule: optimizer === "adam" ? "adam" : noiseScale === undefined ? "sgd-linear" : "sgd",
    beyondRule:
      optimizer === "adam" && noiseScale !== undefined
        ? ordered.filter(
            (multiple) => adamLearningRateFactor(batchSize, multiple * batchSize, noiseScale) === undefined,
          )
        : [],
  };
}

function requirePositive(name: string, value: number | undefined): void {
  if (value === undefined || (value > 0 && Number.isFinite(value))) return;
  throw new RangeError(`${name} must be positive and finite, not ${value}`);
}
