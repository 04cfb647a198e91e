// A sweep over batch sizes on real digits, through hook and collector: the frontiers fitted to the training loss, and the
// project's calibration at each target. Rates by the SGD rule (1 + 𝓑/64)/(1 + 𝓑/B) at 𝓑 = 150, from .1 at 64.
// Usage: node --conditions=@noisescale/source test/bench/digits-sweep.ts [SEEDS]

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CalibrationAnswer, GroupFrontierAnswer, Problem } from "@noisescale/protocol";
import { startCollector } from "@noisescale/server";
import { sgdLearningRateFactor } from "@noisescale/statistics";
import { trainInThread } from "../../packages/cli/src/demo/train-in-thread.ts";

const seeds = Number(process.argv[2] ?? 1);
const batchSizes = [16, 32, 64, 128, 256, 512];
const targets = ["loss<=1", "loss<=0.7", "loss<=0.5", "loss<=0.4"];
/** On the way to the last target with room to spare: E = E_min·(1 + B/𝓑). */
const examplesFor = (batchSize: number): number => 24_000 * (1 + batchSize / 150);

const folder = await mkdtemp(join(tmpdir(), "noisescale-digits-"));
const collector = await startCollector({ dataDirectory: folder, port: 0, config: {} });

async function ask<Answer>(method: string, path: string, body?: object): Promise<Answer | string> {
  const response = await fetch(collector.url + path, {
    method,
    headers: { "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return response.ok ? ((await response.json()) as Answer) : ((await response.json()) as Problem).detail;
}

const number = (value: number | null): string => (value === null ? "?" : String(Number(value.toPrecision(3))));

try {
  for (const batchSize of batchSizes) {
    const factor = sgdLearningRateFactor(64, batchSize, 150);
    for (let seed = 1; seed <= seeds; seed += 1) {
      const result = await trainInThread(
        {
          batchSize,
          learningRate: Number((0.1 * factor).toPrecision(3)),
          examples: examplesFor(batchSize),
          measureEvery: Math.max(1, Math.round(64 / batchSize)),
          testCount: 1000,
          seed,
          collectorUrl: collector.url,
          run: `b${batchSize}-${seed}`,
          declaration: { project: "digits", group: "sweep", optimizer: "sgd", dataset_units: 9000 },
        },
        new AbortController().signal,
        () => undefined,
      );
      console.error(
        `batch ${batchSize}, seed ${seed}: ${result?.steps} steps in ${result?.trainingSeconds.toFixed(0)} s`,
      );
    }
  }
  console.log(
    "| target | B_crit of the sweep | B_crit/B_simple | each batch size's own ratio | basis of the run at 64, batch size |",
  );
  console.log("|---|---|---|---|---|");
  for (const target of targets) {
    const fitted = await ask<GroupFrontierAnswer>(
      "GET",
      `/v1/groups/sweep/frontier?target=${encodeURIComponent(target)}`,
    );
    const made = await ask<CalibrationAnswer>("PUT", "/v1/projects/digits/calibration", { group: "sweep", target });
    const snapshot = await ask<{ recommendation: { basis: string; target: string | null; batch_size: number | null } }>(
      "GET",
      "/v1/runs/b64-1/snapshot",
    );
    const critical =
      typeof fitted === "string"
        ? fitted
        : `${number(fitted.frontier.critical_batch_size)} (${number(fitted.frontier.critical_batch_size_low)} to ${number(fitted.frontier.critical_batch_size_high)})`;
    const ratio =
      typeof made === "string"
        ? made
        : `${number(made.ratio)} (${number(made.ratio_low)} to ${number(made.ratio_high)})`;
    const own =
      typeof made === "string" ? "" : made.runs.map((run) => `${run.batch_size}: ${number(run.ratio)}`).join(", ");
    const basis =
      typeof snapshot === "string"
        ? snapshot
        : `${snapshot.recommendation.basis} ${snapshot.recommendation.target ?? ""}, ${number(snapshot.recommendation.batch_size)}`;
    console.log(`| ${target} | ${critical} | ${ratio} | ${own} | ${basis} |`);
  }
} finally {
  await collector.close();
  await rm(folder, { recursive: true });
}
