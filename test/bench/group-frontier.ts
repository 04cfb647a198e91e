// What the frontier of a group and a project's calibration cost at a collector: a sweep of 12 runs of 100,000 measurements
// each. Prints the time of each answer, and for how long at most the collector could not turn to another request meanwhile.
// Usage: node --conditions=@noisescale/source test/bench/group-frontier.ts [MEASUREMENTS A RUN]

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { startCollector } from "@noisescale/server";
import { seededUniform } from "./synthetic-measurements.ts";

const measurements = Number(process.argv[2] ?? 100_000);
const runs = 12;
const perRequest = 10_000;
const evaluateEvery = 10;

const directory = await mkdtemp(join(tmpdir(), "noisescale-bench-group-"));
const collector = await startCollector({ dataDirectory: directory, port: 0, config: {} });

async function send(method: string, path: string, body?: unknown): Promise<unknown> {
  const response = await fetch(collector.url + path, {
    method,
    headers: { "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!response.ok) throw new Error(await response.text());
  return response.json();
}

/** A run whose loss falls to .1 of what it was, over the steps that its batch size takes on a frontier with B_crit 500. */
async function fill(run: string, batchSize: number, uniform: () => number): Promise<void> {
  await send("PUT", `/v1/runs/${run}`, { project: "bench", group: "sweep" });
  const stepsApart = Math.max(1, Math.round(1 + 500 / batchSize));
  const wobble = (): number => 1 + 0.1 * (uniform() - 0.5);
  for (let first = 0; first < measurements; first += perRequest) {
    const batch = Array.from({ length: Math.min(perRequest, measurements - first) }, (_, i) => {
      const place = (first + i) / measurements;
      const loss = 2.3 * 0.1 ** place * wobble();
      return {
        step: (first + i) * stepsApart,
        time_ms: 1_760_000_000_000 + (first + i) * 20,
        small: { batch_size: batchSize / 8, squared_norm: (8 / batchSize + 1 / 2000) * wobble(), count: 8 },
        big: { batch_size: batchSize, squared_norm: (1 / batchSize + 1 / 2000) * wobble() },
        loss,
        learning_rate: 0.1,
        ...(i % evaluateEvery === 0 ? { evaluations: { validation_loss: loss } } : {}),
      };
    });
    await send("POST", `/v1/runs/${run}/measurements`, { measurements: batch });
  }
}

try {
  const started = performance.now();
  const uniform = seededUniform(5);
  for (let i = 0; i < runs; i += 1) await fill(`run-${i}`, 16 * 2 ** i, uniform);
  console.log(
    `${runs} runs of ${measurements} measurements, written in ${((performance.now() - started) / 1000).toFixed(0)} s.`,
  );
  const asked: readonly (readonly [name: string, () => Promise<unknown>])[] = [
    [
      "an evaluation",
      () => send("GET", `/v1/groups/sweep/frontier?target=${encodeURIComponent("validation_loss<=0.3")}`),
    ],
    ["the training loss", () => send("GET", `/v1/groups/sweep/frontier?target=${encodeURIComponent("loss<=0.3")}`)],
    [
      "the calibration",
      () => send("PUT", "/v1/projects/bench/calibration", { group: "sweep", target: "validation_loss<=0.3" }),
    ],
    ["the series of one run, 1000 points", () => send("GET", "/v1/runs/run-0/series")],
  ];
  for (const [name, ask] of asked) {
    for (let round = 0; round < 3; round += 1) {
      const delay = monitorEventLoopDelay({ resolution: 1 });
      delay.enable();
      const begun = performance.now();
      await ask();
      const elapsed = performance.now() - begun;
      delay.disable();
      console.log(`${name}: ${elapsed.toFixed(0)} ms, held up for at most ${(delay.max / 1e6).toFixed(0)} ms`);
    }
  }
} finally {
  await collector.close();
  await rm(directory, { recursive: true });
}
