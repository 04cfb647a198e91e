import { numberText, timesText } from "@noisescale/charts";
import type { BranchCheck, BranchOfCheck, BranchPlan, PlannedBranch } from "@noisescale/statistics";

export interface NamedPlan {
  readonly plan: BranchPlan;
  readonly group: string;
  /** At the checkpoint. */
  readonly learningRate: number | undefined;
  readonly tolerance: number;
}

const runName = (group: string, { batchSize }: PlannedBranch): string => `${group}-at-${batchSize}`;

/** A plan for a person: which branches to train, how, and how to read them. */
export function planText({ plan, group, learningRate, tolerance }: NamedPlan): string {
  const rate = ({ learningRateFactor }: PlannedBranch): string =>
    learningRate === undefined
      ? timesText(learningRateFactor)
      : Number((learningRate * learningRateFactor).toPrecision(3)).toString();
  const adam = plan.rule === "adam";
  const header = ["run", "batch size", "learning rate", "steps", ...(adam ? ["1 − β", "ε"] : [])];
  const rows = plan.branches.map((branch) => [
    runName(group, branch),
    String(branch.batchSize),
    rate(branch),
    String(branch.steps),
    ...(branch.adam === undefined
      ? []
      : [timesText(branch.adam.oneMinusBetaFactor), timesText(branch.adam.epsilonFactor)]),
  ]);
  const rules = {
    adam: "Adam's rate goes with the root of the batch size. Merrill et al. 2025 scale the rate alone; Malladi et al. 2022 derive the rule together with the last two columns.",
    sgd: "SGD's rate is scaled by (1 + N/B)/(1 + N/kB), N the noise scale.",
    "sgd-linear":
      "SGD's rate goes with the batch size: with --noise-scale it would be scaled less near the noise scale.",
  };
  return [
    `Train on from one checkpoint, each branch on ${numberText(plan.units)} units:`,
    "",
    ...table([header, ...rows]),
    "",
    rules[plan.rule],
    ...(plan.beyondRule.length === 0
      ? []
      : [
          `At ${plan.beyondRule.map((k) => `${k}×`).join(", ")} the batch is above the noise scale, where that rule is not derived.`,
        ]),
    "",
    "Each branch: load weights and optimizer state of the checkpoint, set batch size and rate (a schedule goes on, times the",
    "same factor), train on the same examples in the same order, and log the loss of every step. Three seeds, each an order of",
    "its own, give the better interval: tag the runs with seed, and add it to their names.",
    "",
    `Then: noisescale branch read --collector URL --group ${group} --tolerance ${tolerance}`,
    `or:   noisescale branch read losses.csv --tolerance ${tolerance}     (batch_size,step,loss[,seed])`,
    "",
  ].join("\n");
}

export function planJson({ plan, group, learningRate, tolerance }: NamedPlan): object {
  return {
    group,
    units: plan.units,
    rule: plan.rule,
    beyond_rule: plan.beyondRule,
    tolerance,
    branches: plan.branches.map((branch) => ({
      run: runName(group, branch),
      multiple: branch.multiple,
      batch_size: branch.batchSize,
      steps: branch.steps,
      learning_rate_factor: branch.learningRateFactor,
      learning_rate: learningRate === undefined ? null : learningRate * branch.learningRateFactor,
      adam:
        branch.adam === undefined
          ? null
          : {
              one_minus_beta_factor: branch.adam.oneMinusBetaFactor,
              epsilon_factor: branch.adam.epsilonFactor,
            },
    })),
  };
}

/** What the branches say, for a person. */
export function checkText(check: BranchCheck): string {
  const rows = check.branches.map((branch) => [
    String(branch.batchSize),
    lossText(branch.loss),
    range(branch.lossLow, branch.lossHigh),
    branch.excess === undefined ? "" : lossText(branch.excess),
    branch.excess === undefined ? "" : range(branch.excessLow, branch.excessHigh),
    verdictText(branch),
    String(branch.seeds),
    String(branch.losses),
  ]);
  const header = [
    "batch size",
    "loss",
    "",
    "above a smaller one's",
    "",
    `tolerance ${check.tolerance}`,
    "runs",
    "losses",
  ];
  return [
    `${answerText(check)}${check.branches.every(({ seeds }) => seeds === 1) ? " One seed." : ""}`,
    "",
    ...table([header, ...rows]),
    "",
    `Compared after ${numberText(check.units)} units. In brackets: 95 % intervals, ${basisText(check)}`,
    "",
  ].join("\n");
}

function answerText({ branches, largestWithin, settled, smallestBeyond }: BranchCheck): string {
  const largest = branches.at(-1)?.batchSize;
  if (largest === largestWithin) {
    return `Every batch size up to ${largestWithin} is as good, example by example: the limit lies at ${largestWithin} or above.`;
  }
  if (settled) {
    return `${largestWithin} is the largest batch size that is as good, example by example; at ${smallestBeyond} it is not.`;
  }
  const open = branches.filter(({ batchSize, verdict }) => batchSize > largestWithin && verdict === "not settled");
  const names = open.map(({ batchSize }) => batchSize).join(", ");
  return `Not settled: ${largestWithin} is as good, example by example; the noise leaves ${names} open. More seeds, more units or a longer window narrow it.`;
}

/** One seed's losses say nothing of other seeds. */
function verdictText({ verdict, seeds }: BranchOfCheck): string {
  if (verdict === "smallest") return "";
  return seeds === 1 ? `${verdict}, one seed` : verdict;
}

function basisText({ uncertainty }: BranchCheck): string {
  return uncertainty === "seeds"
    ? "from the spread of the seeds."
    : "from the losses in the window alone, taken as independent: what another order of the examples would change is not in them.";
}

/** Unknown is null; so is the loss of a branch that diverged. */
export function checkJson(check: BranchCheck): object {
  const known = (value: number | undefined): number | null =>
    value === undefined || !Number.isFinite(value) ? null : value;
  return {
    largest_within: check.largestWithin,
    smallest_beyond: check.smallestBeyond ?? null,
    settled: check.settled,
    tolerance: check.tolerance,
    units: check.units,
    uncertainty: check.uncertainty,
    branches: check.branches.map((branch: BranchOfCheck) => ({
      batch_size: branch.batchSize,
      verdict: branch.verdict,
      loss: known(branch.loss),
      loss_low: known(branch.lossLow),
      loss_high: known(branch.lossHigh),
      diverged: branch.loss === Number.POSITIVE_INFINITY,
      excess: known(branch.excess),
      excess_low: known(branch.excessLow),
      excess_high: known(branch.excessHigh),
      runs: branch.seeds,
      losses: branch.losses,
    })),
  };
}

function lossText(loss: number): string {
  return Number.isFinite(loss) ? loss.toFixed(4) : "diverged";
}

function range(low: number | undefined, high: number | undefined): string {
  return low === undefined || high === undefined ? "[not known]" : `[${low.toFixed(4)} to ${high.toFixed(4)}]`;
}

function table(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padStart(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}
