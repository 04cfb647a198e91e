// Steps and digits until the demo's network is as accurate as the demo (packages/cli/src/demo), with a batch size that
// follows the recommendation and with fixed ones. All start at the demo's rate for its own batch size, turned by one rule,
// (1 + 𝓑/64)/(1 + 𝓑/B): at the collector's 𝓑 where the size follows, at the critical batch size that the demo predicts for its
// own run (by B_noise), or at the one that is given, where it stands.
//   node --conditions=@noisescale/source test/bench/adaptive.ts [seeds] [𝓑]
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { snapshotSchema } from "@noisescale/protocol";
import { startCollector } from "@noisescale/server";
import { sgdLearningRateFactor } from "@noisescale/statistics";
import { type TrainingResult, trainInThread } from "../../packages/cli/src/demo/train-in-thread.ts";
import { adaptivePlan, fixedOutcome, fixedPlan, type TrainingPlan } from "../../packages/cli/src/demo/training-plan.ts";

const seeds = Array.from({ length: Number(process.argv[2] ?? 3) }, (_, index) => adaptivePlan.seed + index);
const fixedSizes = [16, 64, 256, 1024];
const { follow: _, ...standing } = adaptivePlan;
const folder = await mkdtemp(join(tmpdir(), "noisescale-adaptive-"));
const collector = await startCollector({ dataDirectory: folder, port: 0, config: {} });
const rows = ["| batch size | rate | steps | examples | batch sizes it took |", "|---|---|---|---|---|"];
let runs = 0;
try {
  const criticalBatchSize = Number(process.argv[3] ?? (await criticalBatchSizeOfDemo()));
  process.stderr.write(`Fixed sizes: rates at a critical batch size of ${criticalBatchSize.toFixed(0)}\n`);
  const following = await everySeed(adaptivePlan);
  write(`follows, from ${adaptivePlan.batchSize}`, adaptivePlan.learningRate, following);
  const first = following[0]?.changes[0]?.recommended ?? undefined;
  const sizes = [...new Set(first === undefined ? fixedSizes : [...fixedSizes, first])];
  for (const batchSize of sizes.sort((one, other) => one - other)) {
    const factor = sgdLearningRateFactor(adaptivePlan.batchSize, batchSize, criticalBatchSize);
    const learningRate = Number((adaptivePlan.learningRate * factor).toPrecision(3));
    const results = await everySeed({ ...standing, batchSize, learningRate, measureEvery: 10 });
    write(batchSize === first ? `${batchSize}, the first recommendation` : String(batchSize), learningRate, results);
  }
} finally {
  await collector.close();
  await rm(folder, { recursive: true });
}
process.stdout.write(
  `Until ${(100 * fixedOutcome.accuracy).toFixed(1)} % of ${adaptivePlan.testCount} held-back digits, seeds ${seeds.join(", ")}: median (least to most).\n\n${rows.join("\n")}\n`,
);

async function everySeed(plan: TrainingPlan): Promise<TrainingResult[]> {
  const results: TrainingResult[] = [];
  for (const seed of seeds) {
    const result = await train(plan, seed);
    const { steps, examples, reached } = result;
    process.stderr.write(
      `${plan.batchSize} at ${plan.learningRate}, seed ${seed}: ${steps} steps, ${examples} examples, ${reached ? "reached" : "not reached"}\n`,
    );
    results.push(result);
  }
  return results;
}

async function train(plan: TrainingPlan, seed: number): Promise<TrainingResult> {
  runs += 1;
  const result = await trainInThread(
    {
      ...plan,
      seed,
      collectorUrl: collector.url,
      run: `run-${runs}`,
      declaration: { project: "digits", optimizer: "sgd", batch_multiple: 16, dataset_units: 8000 },
    },
    new AbortController().signal,
    () => undefined,
  );
  if (result === undefined) throw new Error("stopped");
  return result;
}

async function criticalBatchSizeOfDemo(): Promise<number> {
  await train(fixedPlan, fixedPlan.seed);
  const answer = await fetch(`${collector.url}/v1/runs/run-${runs}/snapshot`);
  const { predicted } = snapshotSchema.parse(await answer.json());
  if (predicted.critical_batch_size === null) throw new Error("the demo's run predicts no critical batch size");
  return predicted.critical_batch_size;
}

function write(name: string, rate: number, results: readonly TrainingResult[]): void {
  const unreached = results.filter(({ reached }) => !reached).length;
  const note = unreached === 0 ? "" : ` (${unreached} of ${results.length} did not reach it)`;
  const steps = range(results.map((result) => result.steps));
  const examples = range(results.map((result) => result.examples));
  const taken = results[0]?.changes.map(({ batchSize, step }) => `${batchSize} from ${step}`).join(", ");
  rows.push(
    `| ${name}${note} | ${rate} | ${steps} | ${examples} | ${taken === "" ? "–" : `seed ${seeds[0]}: ${taken}`} |`,
  );
}

function range(values: readonly number[]): string {
  const sorted = values.toSorted((one, other) => one - other);
  const text = (value: number | undefined) => (value ?? Number.NaN).toLocaleString("en");
  return `${text(sorted[Math.floor(sorted.length / 2)])} (${text(sorted[0])} to ${text(sorted.at(-1))})`;
}
