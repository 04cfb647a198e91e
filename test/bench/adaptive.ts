// Steps and digits until the demo's network is as accurate as the demo (packages/cli/src/demo): the batch size follows the
// recommendation, or stands. Each fixed size at the rate of a grid at which it needs the fewest steps with the first seed;
// the training that follows starts as the fixed one of its first batch size does, at that one's best rate.
//   node --conditions=@noisescale/source test/bench/adaptive.ts [seeds]
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startCollector } from "@noisescale/server";
import { type TrainingResult, trainInThread } from "../../packages/cli/src/demo/train-in-thread.ts";
import { adaptivePlan, fixedOutcome, type TrainingPlan } from "../../packages/cli/src/demo/training-plan.ts";

const seeds = Array.from({ length: Number(process.argv[2] ?? 3) }, (_, index) => adaptivePlan.seed + index);
const rates = [0.05, 0.1, 0.2, 0.4, 0.8];
const fixedSizes = [16, 64, 256, 1024];

const { follow, ...standing } = adaptivePlan;
const folder = await mkdtemp(join(tmpdir(), "noisescale-adaptive-"));
const collector = await startCollector({ dataDirectory: folder, port: 0, config: {} });
const rows = ["| batch size | first rate | steps | examples |", "|---|---|---|---|"];
let runs = 0;
try {
  const best = new Map<number, { readonly rate: number; readonly first: TrainingResult }>();
  for (const batchSize of fixedSizes) best.set(batchSize, await tuned(batchSize));
  const start = best.get(adaptivePlan.batchSize)?.rate ?? adaptivePlan.learningRate;
  for (const learningRate of new Set([start, adaptivePlan.learningRate])) {
    const results = await everySeed({ ...adaptivePlan, learningRate });
    write(`follows, from ${adaptivePlan.batchSize}`, learningRate, results);
    const first = results[0]?.changes[0]?.batchSize;
    if (first !== undefined && !best.has(first)) best.set(first, await tuned(first));
  }
  for (const [batchSize, { rate, first }] of [...best].sort(([one], [other]) => one - other)) {
    const others = await everySeed({ ...standing, batchSize, learningRate: rate, measureEvery: 10 }, seeds.slice(1));
    write(String(batchSize), rate, [first, ...others]);
  }
} finally {
  await collector.close();
  await rm(folder, { recursive: true });
}
process.stdout.write(
  `Until ${(100 * fixedOutcome.accuracy).toFixed(1)} % of ${adaptivePlan.testCount} held-back digits, seeds ${seeds.join(", ")}: median (least to most).\n\n${rows.join("\n")}\n`,
);

async function tuned(batchSize: number): Promise<{ rate: number; first: TrainingResult }> {
  let best: { rate: number; first: TrainingResult } | undefined;
  for (const rate of rates) {
    // A rate that needs more than the best one so far is out.
    const examples = best === undefined ? standing.examples : best.first.steps * batchSize;
    const [first] = await everySeed(
      { ...standing, examples, batchSize, learningRate: rate, measureEvery: 10 },
      seeds.slice(0, 1),
    );
    if (first?.reached && (best === undefined || first.steps < best.first.steps)) best = { rate, first };
  }
  if (best === undefined) throw new Error(`batch size ${batchSize} is not accurate at any rate`);
  return best;
}

async function everySeed(plan: TrainingPlan, of: readonly number[] = seeds): Promise<TrainingResult[]> {
  const results: TrainingResult[] = [];
  for (const seed of of) {
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
    const { batchSize, learningRate } = plan;
    const { steps, examples, reached } = result;
    process.stderr.write(`${batchSize} at ${learningRate}, seed ${seed}: ${steps} steps, ${examples}, ${reached}\n`);
    results.push(result);
  }
  return results;
}

function write(name: string, rate: number, results: readonly TrainingResult[]): void {
  const unreached = results.filter(({ reached }) => !reached).length;
  const note = unreached === 0 ? "" : ` (${unreached} of ${results.length} did not reach it)`;
  rows.push(
    `| ${name}${note} | ${rate} | ${range(results.map(({ steps }) => steps))} | ${range(results.map(({ examples }) => examples))} |`,
  );
}

function range(values: readonly number[]): string {
  const sorted = values.toSorted((one, other) => one - other);
  const text = (value: number | undefined) => (value ?? Number.NaN).toLocaleString("en");
  return `${text(sorted[Math.floor(sorted.length / 2)])} (${text(sorted[0])} to ${text(sorted.at(-1))})`;
}
