import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { watch } from "@noisescale/hook-tfjs";
import { type Collector, startCollector } from "@noisescale/server";
import * as tf from "@tensorflow/tfjs-core";
import type { Sequential } from "@tensorflow/tfjs-layers";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DigitBatches } from "../../packages/cli/src/demo/digit-batches.ts";
import { type DigitSet, loadDigits } from "../../packages/cli/src/demo/digits.ts";
import { buildNetwork } from "../../packages/cli/src/demo/network.ts";
import { CommandProcess } from "./command-process.ts";
import "@tensorflow/tfjs-backend-wasm";

interface PlannedRun {
  readonly run: string;
  readonly batch_size: number;
  readonly steps: number;
  readonly learning_rate: number;
}

const seed = 7;
const checkpoint = { batchSize: 32, learningRate: 0.1, steps: 30 };

let folder: string;
let collector: Collector;
let digits: DigitSet;
let planned: readonly PlannedRun[];

async function answerOf(...argv: readonly string[]) {
  const command = CommandProcess.ofSources("branch", ...argv, "--json");
  expect(await command.exit(), command.messages).toBe(0);
  return JSON.parse(command.output);
}

async function trainOn(network: Sequential, batches: DigitBatches, batchSize: number, steps: number): Promise<void> {
  for (let step = 0; step < steps; step += 1) {
    const { x, y } = batches.take(batchSize);
    await network.trainOnBatch(x, y);
    tf.dispose([x, y]);
    // The collector is of this process: it gets its turn.
    await nextTurn();
  }
}

/** From the checkpoint on, on the examples that every branch sees, reported to the collector like any run. */
async function trainBranch(weights: tf.Tensor[], group: string, branch: PlannedRun): Promise<void> {
  const network = buildNetwork(branch.learning_rate, seed);
  network.setWeights(weights);
  const watcher = watch(network, {
    url: collector.url,
    run: branch.run,
    project: "digits",
    declaration: { group },
    every: 1,
    firstStep: checkpoint.steps,
  });
  await trainOn(network, new DigitBatches(digits, seed + 100), branch.batch_size, branch.steps);
  expect(await watcher.close({ deadlineMs: 60_000 })).toBe(true);
}

beforeAll(async () => {
  await tf.setBackend("wasm");
  folder = await mkdtemp(join(tmpdir(), "noisescale-branch-"));
  collector = await startCollector({ dataDirectory: folder, port: 0, config: {} });
  digits = loadDigits(2000, seed).train;
  const network = buildNetwork(checkpoint.learningRate, seed);
  await trainOn(network, new DigitBatches(digits, seed), checkpoint.batchSize, checkpoint.steps);
  const weights = network.getWeights();
  const plan = await answerOf(
    ...["plan", "--batch-size", String(checkpoint.batchSize), "--learning-rate", String(checkpoint.learningRate)],
    ...["--optimizer", "sgd", "--noise-scale", "30", "--multiples", "1,2,4,16", "--units", "8192", "--group", "early"],
  );
  planned = plan.branches;
  for (const branch of planned) await trainBranch(weights, plan.group, branch);
});
afterAll(async () => {
  await collector.close();
  await rm(folder, { recursive: true });
});

describe("branches of a network that learns digits, from one checkpoint at four batch sizes", () => {
  test("are planned over the same examples, at rates by the noise scale", () => {
    expect(planned.map(({ batch_size: batchSize, steps }) => [batchSize, steps])).toEqual([
      [32, 256],
      [64, 128],
      [128, 64],
      [512, 16],
    ]);
    expect(planned.at(-1)?.learning_rate).toBeCloseTo((0.1 * (1 + 30 / 32)) / (1 + 30 / 512), 12);
  });

  // Early in training the noise scale is far below 512: 16 steps at under twice the rate make a small part of 256 steps' way.
  test("are read from the collector: a batch far above the noise scale is beyond, the checkpoint's own is the least", async () => {
    const check = await answerOf("read", "--collector", collector.url, "--group", "early", "--window", "0.5");
    expect(check).toMatchObject({ uncertainty: "window", units: 15 * 512 });
    expect(check.branches.map((one: { batch_size: number }) => one.batch_size)).toEqual([32, 64, 128, 512]);
    expect(check.branches[0].verdict).toBe("smallest");
    expect(check.branches[3].verdict).toBe("beyond");
    expect(check.largest_within).toBeLessThan(512);
  });

  test("for a person come as a table with the answer above it", async () => {
    const command = CommandProcess.ofSources(
      "branch",
      "read",
      "--collector",
      collector.url,
      "--group",
      "early",
      "--window",
      "0.5",
    );
    expect(await command.exit()).toBe(0);
    expect(command.output).toMatch(/is the largest batch size that is as good|Not settled: \d+ is as good/);
    expect(command.output).toMatch(/^ +512 +\d\.\d{4} .* beyond, one seed +1 +\d+$/m);
  });

  test("of a group that is not there are refused with the groups that are", async () => {
    const command = CommandProcess.ofSources("branch", "read", "--collector", collector.url, "--group", "late");
    expect(await command.exit()).toBe(1);
    expect(command.messages).toMatch(/has no run of group "late"; there are early\./);
  });
});
