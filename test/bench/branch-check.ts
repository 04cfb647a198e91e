// Verdicts of a branch check whose larger batch is worse by just the tolerance: each should come in at most one of twenty.
// Usage: node --conditions=@noisescale/source test/bench/branch-check.ts [CHECKS]
import { type BranchRun, checkBranches } from "@noisescale/statistics";
import { seededNormal } from "../../packages/statistics/test/simulated-run.ts";

const checks = Number(process.argv[2] ?? 2000);
const tolerance = 0.01;
const units = 25_600;
const batchSizes = [16, 64];

interface Case {
  readonly seeds: number;
  /** Correlation of neighbouring losses of a run. */
  readonly correlation: number;
  /** Standard deviation of a whole run's loss from seed to seed. */
  readonly seedDeviation: number;
  readonly falling: boolean;
}

function runsOf({ seeds, correlation, seedDeviation, falling }: Case, normal: () => number): BranchRun[] {
  const one = (batchSize: number): BranchRun => {
    const level = (batchSize === batchSizes[0] ? 0 : tolerance) + seedDeviation * normal();
    let error = normal();
    const losses = Array.from({ length: units / batchSize }, (_, i) => {
      error = correlation * error + Math.sqrt(1 - correlation ** 2) * normal();
      const curve = falling ? 3 * Math.exp((-(i + 1) * batchSize) / 6000) : 2;
      return { step: i + 1, loss: curve + level + 0.08 * Math.sqrt(16 / batchSize) * error };
    });
    return { batchSize, losses };
  };
  return Array.from({ length: seeds }, () => batchSizes.map(one)).flat();
}

console.log(`${checks} checks a row.`);
console.log("| loss | seeds | correlation of losses | spread of seeds | within | beyond |");
console.log("| --- | --- | --- | --- | --- | --- |");
for (const of of [
  { seeds: 1, correlation: 0, seedDeviation: 0, falling: false },
  { seeds: 1, correlation: 0, seedDeviation: 0, falling: true },
  { seeds: 1, correlation: 0.5, seedDeviation: 0, falling: false },
  { seeds: 1, correlation: 0, seedDeviation: 0.01, falling: false },
  { seeds: 3, correlation: 0.5, seedDeviation: 0, falling: false },
  { seeds: 3, correlation: 0, seedDeviation: 0.01, falling: false },
]) {
  const normal = seededNormal(7);
  const count = { within: 0, beyond: 0 };
  for (let check = 0; check < checks; check += 1) {
    const found = checkBranches(runsOf(of, normal), { tolerance });
    const verdict = found.read ? found.branches.at(-1)?.verdict : undefined;
    if (verdict === "within" || verdict === "beyond") count[verdict] += 1;
  }
  const share = (of: number): string => (of / checks).toFixed(3);
  console.log(
    `| ${of.falling ? "falls" : "level"} | ${of.seeds} | ${of.correlation} | ${of.seedDeviation} | ${share(count.within)} | ${share(count.beyond)} |`,
  );
}
