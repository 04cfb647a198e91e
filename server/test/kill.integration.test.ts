import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { IngestResult } from "@noisescale/protocol";
import { RunEstimator } from "@noisescale/statistics";
import { expect, onTestFinished, test } from "vitest";
import { type RunMeasurement, toObservation } from "../src/run-measurement.ts";
import { SqliteStore } from "../src/store/sqlite-store.ts";
import { seededUniform, wireMeasurement } from "./measurement-source.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

interface Running {
  readonly url: string;
  readonly child: ChildProcess;
}

async function start(directory: string): Promise<Running> {
  const script = fileURLToPath(new URL("collector-process.ts", import.meta.url));
  const child = spawn(process.execPath, ["--conditions=@noisescale/source", script, directory], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const [url] = (await once(createInterface(child.stdout), "line")) as [string];
  return { url, child };
}

async function kill({ child }: Running): Promise<void> {
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
}

const write = (url: string, method: string, body: unknown): Promise<Response> =>
  fetch(url, { method, headers: { "content-type": "application/json" }, body: JSON.stringify(body) });

test("SIGKILL at any moment loses no accepted measurement, and state and series stay those of the measurements", async () => {
  const directory = temporaryDirectory();
  const uniform = seededUniform(11);
  const accepted = new Set<number>();
  let next = 0;
  for (let round = 0; round < 6; round += 1) {
    const running = await start(directory);
    await write(`${running.url}/v1/runs/a`, "PUT", { project: "p", trackers: [{ name: "tensorboard" }] });
    const dying = 20 + Math.floor(uniform() * 40);
    let answered = 0;
    let killed: Promise<void> | undefined;
    const sender = async (): Promise<void> => {
      while (killed === undefined) {
        const steps = Array.from({ length: 10 }, (_, i) => next + i);
        next += 10;
        try {
          const response = await write(`${running.url}/v1/runs/a/measurements`, "POST", {
            measurements: steps.map((step) => wireMeasurement(step)),
          });
          const result = (await response.json()) as IngestResult;
          expect(result.accepted).toBe(10);
          for (const step of steps) accepted.add(step);
          answered += 1;
        } catch (error) {
          // A request that was cut off has no answer, and promises nothing.
          if (killed === undefined) throw error;
        }
        if (answered >= dying) killed ??= kill(running);
      }
    };
    await Promise.all([sender(), sender(), sender(), sender()]);
    await killed;
  }

  const store = new SqliteStore(join(directory, "noisescale.sqlite"));
  const run = await store.findRun("a");
  const stored: RunMeasurement[] = await Array.fromAsync(store.measurements(run?.id ?? 0));
  const steps = new Set(stored.map(({ step }) => step));
  expect([...accepted].filter((step) => !steps.has(step))).toEqual([]);
  const estimator = new RunEstimator({});
  for (const one of stored) estimator.add(toObservation(one));
  expect(run?.fold?.state).toEqual(estimator.serialize());
  expect(run?.fold?.measurements).toBe(stored.length);
  expect(await store.seriesCount(run?.id ?? 0, { from: 0, to: Number.MAX_SAFE_INTEGER })).toBe(stored.length);
  await store.close();
});

test("a collector that was killed before its tracker was sent everything sends the rest after its next start", async () => {
  const directory = temporaryDirectory();
  const first = await start(directory);
  await write(`${first.url}/v1/runs/a`, "PUT", { project: "p", trackers: [{ name: "tensorboard" }] });
  await write(`${first.url}/v1/runs/a/measurements`, "POST", {
    measurements: Array.from({ length: 200 }, (_, step) => wireMeasurement(step)),
  });
  await kill(first);
  const second = await start(directory);
  await expect
    .poll(
      async () => {
        const detail = (await (await fetch(`${second.url}/v1/runs/a`)).json()) as { trackers: unknown[] };
        return detail.trackers[0];
      },
      { timeout: 20_000 },
    )
    .toMatchObject({ state: "ok", backlog: 0 });
});
