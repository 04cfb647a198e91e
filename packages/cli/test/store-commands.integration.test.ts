import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Snapshot } from "@noisescale/protocol";
import { startCollector } from "@noisescale/server";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { estimate } from "../src/estimate.ts";
import { exportRun } from "../src/export.ts";
import { prune } from "../src/prune.ts";
import { serve } from "../src/serve.ts";
import { commandLine } from "./command-line.ts";
import { simulatedMeasurements } from "./simulated-measurements.ts";

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "noisescale-store-"));
});
afterEach(() => rm(directory, { recursive: true }));

/** Sends measurements to a collector over the directory, and answers its snapshot. */
async function collect(run: string, timeMs: number): Promise<Snapshot> {
  const collector = await startCollector({ dataDirectory: directory, port: 0, config: {} });
  try {
    const address = `${collector.url}/v1/runs/${run}`;
    const send = (method: string, path: string, body: unknown) =>
      fetch(address + path, { method, body: JSON.stringify(body), headers: { "content-type": "application/json" } });
    await send("PUT", "", { project: "p", tags: { "<b>": "x" } });
    const measurements = simulatedMeasurements(300, 200, 5).map((m) => ({
      ...m,
      time_ms: timeMs,
      layers: { dense: [2, 1] },
    }));
    await send("POST", "/measurements", { measurements });
    return (await fetch(`${address}/snapshot`)).json() as Promise<Snapshot>;
  } finally {
    await collector.close();
  }
}

describe("export", () => {
  test("writes what the collector took: estimate reads it and answers the collector's own snapshot", async () => {
    const collected = await collect("run-1", 1_760_000_000_000);
    const file = join(directory, "run-1.ndjson");
    expect((await commandLine(["export", "run-1", "--data", directory, "--output", file], [exportRun])).code).toBe(0);
    expect((await readFile(file, "utf8")).split("\n")).toHaveLength(302);
    const { output } = await commandLine(["estimate", file, "--json"], [estimate]);
    expect(JSON.parse(output)).toEqual(collected);
  });

  test("names the runs that are there where there is none of that name", async () => {
    await collect("run-1", 1_760_000_000_000);
    const { code, messages } = await commandLine(["export", "run-2", "--data", directory], [exportRun]);
    expect(code).toBe(1);
    expect(messages).toContain('There is no run "run-2"; the latest are run-1.');
  });
});

describe("prune", () => {
  test("deletes what has been quiet for longer, and only says so on --dry-run", async () => {
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() - 40 * 86_400_000 });
    await collect("old", Date.now());
    vi.useRealTimers();
    await collect("new", Date.now());
    await collect("backfilled", Date.now() - 40 * 86_400_000);
    const dry = await commandLine(["prune", "--older-than", "30d", "--data", directory, "--dry-run"], [prune]);
    expect(dry.output).toBe("would delete old\n");
    const real = await commandLine(["prune", "--older-than", "30d", "--data", directory], [prune]);
    expect(real.output).toBe("deleted old\n");
    const again = await commandLine(["prune", "--older-than", "30d", "--data", directory], [prune]);
    expect(again.output).toBe("");
    expect(again.messages).toBe("0 runs older than 30d\n");
  });
});

describe("serve", () => {
  test("prints its address when it is ready, and ends cleanly when it is told to", async () => {
    const stop = new AbortController();
    stop.abort();
    const { code, output } = await commandLine(["serve", "--port", "0", "--data", directory], [serve], "", stop.signal);
    expect(code).toBe(0);
    expect(output).toMatch(/^http:\/\/127\.0\.0\.1:\d+\n$/);
  });

  test("names the field where the configuration is wrong", async () => {
    const { code, messages } = await commandLine(
      ["serve", "--data", directory, "--config", join(directory, "none.json")],
      [serve],
    );
    expect(code).toBe(1);
    expect(messages).toContain("none.json");
    expect(messages).not.toContain("    at ");
  });
});
