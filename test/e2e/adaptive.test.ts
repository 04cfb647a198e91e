import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Snapshot, snapshotSchema } from "@noisescale/protocol";
import { type Collector, startCollector } from "@noisescale/server";
import { sgdLearningRateFactor } from "@noisescale/statistics";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { trainInThread } from "../../packages/cli/src/demo/train-in-thread.ts";
import { adaptivePlan, fixedOutcome } from "../../packages/cli/src/demo/training-plan.ts";
import { CommandProcess } from "./command-process.ts";

let directory: string;
let demo: CommandProcess;
let code: number | null;
let snapshot: Snapshot;
let collector: Collector;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "noisescale-adaptive-"));
  demo = CommandProcess.ofSources("demo", "--adaptive", "--exit", "--json", "--data", join(directory, "demo"));
  code = await demo.exit();
  snapshot = JSON.parse(demo.output);
  collector = await startCollector({ dataDirectory: join(directory, "fixed"), port: 0, config: {} });
});
afterAll(async () => {
  await demo.kill();
  await collector.close();
  await rm(directory, { recursive: true });
});

function needed(): { readonly steps: number; readonly examples: number } {
  const [, steps = "", examples = ""] =
    /As accurate as the demo, [\d.]+ %, after ([\d,]+) steps and ([\d,]+) examples/.exec(demo.messages) ?? [];
  return { steps: Number(steps.replaceAll(",", "")), examples: Number(examples.replaceAll(",", "")) };
}

/**
 * The demo's network at one batch size, at its rate turned by SGD's rule at a critical batch size of 500: about what the
 * following run turns its own at, and kinder to a large batch than the one that the demo predicts.
 */
async function trainFixed(batchSize: number, examples: number) {
  const { follow: _, untilAccuracy: __, ...plan } = adaptivePlan;
  const learningRate = plan.learningRate * sgdLearningRateFactor(plan.batchSize, batchSize, 500);
  const run = `fixed-${batchSize}`;
  const declaration = { project: "digits" };
  const order = { ...plan, batchSize, learningRate, examples, measureEvery: 1000, collectorUrl: collector.url, run };
  return trainInThread({ ...order, declaration }, new AbortController().signal, () => undefined);
}

describe("noisescale demo --adaptive --exit --json", () => {
  test("ends with 0, as accurate as the demo, and says in how many steps and examples", () => {
    expect(code, demo.messages).toBe(0);
    expect(snapshotSchema.safeParse(snapshot).success).toBe(true);
    expect(needed().steps).toBe(snapshot.measurements);
    expect(needed().examples).toBeGreaterThan(needed().steps * 16);
  });

  test("lets the batch size follow: larger at the end than at the start, and the estimate survives the changes", () => {
    const changes = [...demo.messages.matchAll(/from step (\d+): (\d+) at rate ([\d.]+)/g)];
    expect(changes.length).toBeGreaterThan(0);
    expect(snapshot.batch_size).toBe(Number(changes.at(-1)?.[2]));
    expect(snapshot.batch_size).toBeGreaterThan(64);
    expect(snapshot.b_simple_low).toBeGreaterThan(1);
  });

  // A step of 16 makes a fraction of the progress of one of 64 or more, whatever the rate: (1 + 𝓑/64)/(1 + 𝓑/16) of it.
  test("takes fewer steps than the smallest fixed batch size: in as many, 16 digits a step are not as accurate", async () => {
    const result = await trainFixed(16, needed().steps * 16);
    expect(result?.steps).toBe(needed().steps);
    expect(result?.testAccuracy).toBeLessThan(fixedOutcome.accuracy);
  });

  // While the critical batch size is below 500, a step of 1024 spends over three times the least examples.
  test("takes fewer examples than the largest fixed batch size: on as many, 1024 a step are not as accurate", async () => {
    const result = await trainFixed(1024, needed().examples);
    expect(result?.testAccuracy).toBeLessThan(fixedOutcome.accuracy);
    expect(result?.examples).toBeGreaterThanOrEqual(needed().examples);
  });
});
