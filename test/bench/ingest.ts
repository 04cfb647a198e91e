// Durable ingest: rate in batches of 1000, latency at 2,000 measurements/s, and the fold's cost at 1e3 and at 1e6.
// Usage: node --conditions=@noisescale/source test/bench/ingest.ts [DIRECTORY]

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { Agent, request } from "node:http";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { IngestResult } from "@noisescale/protocol";
import { type FoldCost, measureFoldCost } from "./fold-cost.ts";
import { seededUniform, syntheticMeasurement } from "./synthetic-measurements.ts";

const parent = process.argv[2] ?? fileURLToPath(new URL("../../.cache/", import.meta.url));
const agent = new Agent({ keepAlive: true, maxSockets: 64 });
const rateMeasurements = 400_000;
const batchSize = 1000;
const inFlight = 4;
const latencySeconds = 10;

interface Running {
  readonly url: string;
  readonly process: ChildProcess;
}

async function start(directory: string): Promise<Running> {
  const script = fileURLToPath(new URL("ingest-collector.ts", import.meta.url));
  const child = spawn(process.execPath, ["--conditions=@noisescale/source", script, directory], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const [url] = (await once(createInterface(child.stdout), "line")) as [string];
  return { url, process: child };
}

async function stop({ process: child }: Running): Promise<void> {
  child.stdin?.write("\n");
  await once(child, "exit");
}

function send(url: string, method: string, path: string, body: Buffer): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      `${url}${path}`,
      { method, agent, headers: { "content-type": "application/json", "content-length": body.length } },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("end", () => {
          const text = Buffer.concat(chunks).toString("utf8");
          if (response.statusCode === 200 || response.statusCode === 201) resolve(JSON.parse(text));
          else reject(new Error(`${response.statusCode}: ${text}`));
        });
      },
    );
    outgoing.on("error", reject);
    outgoing.end(body);
  });
}

const body = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const declaration = body({ project: "bench", trackers: [{ name: "tensorboard" }] });

function batches(measurements: number, size: number, seed: number): Buffer[] {
  const uniform = seededUniform(seed);
  return Array.from({ length: measurements / size }, (_, batch) =>
    body({ measurements: Array.from({ length: size }, (_, i) => syntheticMeasurement(batch * size + i, uniform)) }),
  );
}

/** Measurements a second, in order, with a few requests in flight. */
async function measureRate(url: string): Promise<number> {
  await send(url, "PUT", "/v1/runs/rate", declaration);
  const waiting = batches(rateMeasurements, batchSize, 1);
  const started = performance.now();
  const sender = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      await send(url, "POST", "/v1/runs/rate/measurements", next);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, sender));
  return rateMeasurements / ((performance.now() - started) / 1000);
}

/** Time from when a request was due to its answer [ms], sorted; sent at a fixed pace whatever the answers do. */
async function measureLatency(url: string, run: string, perSecond: number, size: number): Promise<number[]> {
  await send(url, "PUT", `/v1/runs/${run}`, declaration);
  const bodies = batches(perSecond * latencySeconds, size, 2);
  const everyMs = (1000 * size) / perSecond;
  const started = performance.now();
  const latencies: Promise<number>[] = [];
  for (const [i, one] of bodies.entries()) {
    const dueMs = started + i * everyMs;
    while (performance.now() < dueMs) await delay(1);
    latencies.push(send(url, "POST", `/v1/runs/${run}/measurements`, one).then(() => performance.now() - dueMs));
  }
  return (await Promise.all(latencies)).sort((one, other) => one - other);
}

/** Median time of the series that the page asks for [ms]. */
async function measureOpening(url: string, run: string): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < 5; i += 1) {
    const started = performance.now();
    await send(url, "GET", `/v1/runs/${run}/series?points=600`, Buffer.alloc(0));
    times.push(performance.now() - started);
  }
  return times.sort((one, other) => one - other)[2] ?? Number.NaN;
}

function storedRows(directory: string): number {
  const database = new DatabaseSync(join(directory, "noisescale.sqlite"), { readOnly: true });
  const row = database.prepare("SELECT count(*) AS n FROM measurements").get();
  database.close();
  return row?.["n"] as number;
}

const at = (sorted: readonly number[], quantile: number): string =>
  `${(sorted[Math.floor(quantile * (sorted.length - 1))] ?? Number.NaN).toFixed(1)} ms`;

mkdirSync(parent, { recursive: true });
const directory = mkdtempSync(join(parent, "bench-ingest-"));
try {
  const collector = await start(directory);
  let rate: number;
  let fold: FoldCost;
  let opening: number;
  let accepted = 0;
  const declared = new Set<string>();
  const rows: Record<string, string>[] = [];
  try {
    rate = await measureRate(collector.url);
    for (const [run, size] of [
      ["batches", 10],
      ["singly", 1],
    ] as const) {
      const sorted = await measureLatency(collector.url, run, 2000, size);
      rows.push({
        what: `latency at 2,000/s, ${size} a request`,
        value: `p50 ${at(sorted, 0.5)}, p99 ${at(sorted, 0.99)}, worst ${at(sorted, 1)}`,
        target: "p99 < 20 ms",
      });
    }
    fold = await measureFoldCost(async (run, one) => {
      if (!declared.has(run)) await send(collector.url, "PUT", `/v1/runs/${run}`, declaration);
      declared.add(run);
      const answer = await send(collector.url, "POST", `/v1/runs/${run}/measurements`, one);
      accepted += (answer as IngestResult).accepted;
    });
    opening = await measureOpening(collector.url, "long");
  } finally {
    await stop(collector);
  }
  const expected = rateMeasurements + 2 * 2000 * latencySeconds + accepted;
  const found = storedRows(directory);
  if (found !== expected) throw new Error(`${found} rows after reopening, not ${expected}`);
  console.table([
    {
      what: `durable ingest, batches of ${batchSize}`,
      value: `${Math.round(rate).toLocaleString("en")} measurements/s`,
      target: "≥ 50,000/s",
    },
    ...rows,
    { what: "rows after reopening", value: found.toLocaleString("en"), target: expected.toLocaleString("en") },
    {
      what: "a measurement in a run of 1e3 and of 1e6",
      value: `${fold.earlyMicroseconds.toFixed(1)} and ${fold.lateMicroseconds.toFixed(1)} µs, ratio ${fold.ratio.toFixed(2)}`,
      target: "ratio ≤ 1.1",
    },
    { what: "series of 1e6 measurements in 600 points", value: `${opening.toFixed(0)} ms`, target: "< 1 s" },
  ]);
} finally {
  agent.destroy();
  rmSync(directory, { recursive: true, force: true });
}
