import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { RunDetail } from "@noisescale/protocol";
import { type Collector, startCollector, type TrackerConfigInput } from "@noisescale/server";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { silentLogger } from "../../server/test/silent-logger.ts";
import { type Fault, FaultProxy, retryAfterSeconds } from "./fault-proxy.ts";

/** A tracker's server, and what is found there by the tracker's own client. */
export interface FaultyTracker {
  readonly url: string;
  /** Entry of the collector's configuration. */
  config(name: string, address: string, credentials: "right" | "wrong"): TrackerConfigInput;
  /** Calls that bring rows, by their path. */
  bringsRows(path: string): boolean;
  /** Steps of the collector's run, in the order in which the tracker has them. */
  steps(run: string, project: string): Promise<readonly number[]>;
  /** Alerts of the collector's run. */
  alerts(run: string, project: string): Promise<readonly string[]>;
  deleteRun(run: string, project: string): Promise<void>;
  /** Brings a run back, where the tracker can. */
  restoreRun?(run: string, project: string): Promise<void>;
  stop(): Promise<void>;
}

const startMs = 1_790_000_000_000;
const project = "faults";
const upTo = (end: number, from = 0): number[] => Array.from({ length: end - from }, (_, i) => from + i);

/**
 * Faults between a collector and a real tracker, with TensorBoard's files as the other tracker of each run.
 *
 * @param words - what the message of a parked queue names: the field to mend, and what mends a deleted run
 */
export function describeTrackerFaults(
  kind: string,
  start: () => Promise<FaultyTracker>,
  words: { readonly credentials: string; readonly deleted: string },
): void {
  let folder: string;
  let tracker: FaultyTracker;
  let proxy: FaultProxy;
  let collector: Collector;

  const startAgain = async (credentials: "right" | "wrong"): Promise<void> => {
    await collector?.close();
    collector = await startCollector({
      dataDirectory: join(folder, "data"),
      port: 0,
      // Refusals are what this is about.
      logger: silentLogger,
      config: {
        trackers: [
          tracker.config("tracker", proxy.url, credentials),
          { name: "board", kind: "tensorboard", root: join(folder, "board") },
        ],
      },
    });
  };
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "noisescale-faults-"));
    tracker = await start();
    proxy = await FaultProxy.start(tracker.url, (path) => tracker.bringsRows(path));
    await startAgain("right");
  });
  afterAll(async () => {
    await collector?.close();
    await proxy?.down();
    await tracker?.stop();
    await rm(folder, { recursive: true });
  });

  async function call<Answer>(path: string, method = "GET", body?: unknown): Promise<Answer> {
    const response = await fetch(`${collector.url}/v1/runs/${path}`, {
      method,
      headers: { "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error(await response.text());
    return response.json() as Promise<Answer>;
  }
  const declare = (run: string, target: Readonly<Record<string, unknown>> = {}): Promise<unknown> =>
    call(run, "PUT", { project, trackers: [{ name: "tracker", run: target }, { name: "board" }] });
  /** Ten seconds of training apart, so that each is a point of its own. */
  const measure = (run: string, from: number, to: number): Promise<unknown> =>
    call(`${run}/measurements`, "POST", {
      measurements: upTo(to, from).map((step) => ({
        step,
        time_ms: startMs + 10_000 * step,
        small: { batch_size: 8, squared_norm: 2 + Math.sin(step), count: 4 },
        big: { batch_size: 32, squared_norm: 1 + 0.25 * Math.sin(step) },
      })),
    });
  /** What raises an alert. */
  const notFinite = (run: string, step: number): Promise<unknown> =>
    call(`${run}/events`, "POST", {
      events: [{ step, time_ms: startMs + 10_000 * step, kind: "dropped", code: "not-finite" }],
    });
  const queue = async (run: string, name = "tracker") =>
    (await call<RunDetail>(run)).trackers.find((found) => found.name === name);
  const backlog = async (run: string): Promise<number> => {
    const metrics = await (await fetch(`${collector.url}/metrics`)).text();
    const line = `noisescale_outbox_backlog{run="${run}",tracker="tracker"} `;
    return Number(
      metrics
        .split("\n")
        .find((one) => one.startsWith(line))
        ?.slice(line.length),
    );
  };
  const eventually = <T>(check: () => Promise<T>): Promise<T> => vi.waitFor(check, { timeout: 45_000, interval: 50 });
  const delivered = (run: string, name = "tracker"): Promise<void> =>
    eventually(async () => expect(await queue(run, name)).toMatchObject({ state: "ok", backlog: 0, message: null }));
  const parked = (run: string): Promise<string> =>
    eventually(async () => {
      const found = await queue(run);
      expect(found).toMatchObject({ state: "parked", message: expect.any(String) });
      return found?.message ?? "";
    });

  describe(`${kind} behind a wire with faults`, () => {
    test("gets every point and alert once and in order after cuts, refusals and delays, and holds up no other tracker", async () => {
      const first: readonly Fault[] = ["request-cut", "answer-cut", "refused-503", "refused-429", "slow"];
      const second: readonly Fault[] = ["answer-cut", "request-cut"];
      proxy.faults.push(...first);
      await declare("cut");
      await measure("cut", 0, 30);
      await notFinite("cut", 29);
      await eventually(async () => expect(await queue("cut")).toMatchObject({ state: "retrying" }));
      expect((await queue("cut"))?.message).toMatch(/did not answer|refused/);
      expect(await backlog("cut")).toBe((await queue("cut"))?.backlog);
      expect(await backlog("cut")).toBeGreaterThan(0);
      await delivered("cut", "board");
      expect(proxy.faults).not.toEqual([]);
      await delivered("cut");

      proxy.faults.push(...second);
      await measure("cut", 30, 40);
      await delivered("cut");
      expect(await backlog("cut")).toBe(0);
      expect(proxy.met.map(({ fault }) => fault)).toEqual([...first, ...second]);
      expect(await tracker.steps("cut", project)).toEqual(upTo(40));
      expect(await tracker.alerts("cut", project)).toEqual([expect.stringContaining("not finite at step 29")]);

      const refused = proxy.met.find(({ fault }) => fault === "refused-429");
      const next = proxy.callsMs.find((atMs) => atMs > (refused?.atMs ?? Number.NaN));
      // The collector's clock counts whole milliseconds.
      expect(next).toBeGreaterThanOrEqual((refused?.atMs ?? Number.NaN) + 1000 * retryAfterSeconds - 2);
    });

    test("that is down gets what came meanwhile once it is back, over a new start of the collector, in order", async () => {
      await proxy.down();
      await declare("down");
      await measure("down", 0, 10);
      await notFinite("down", 9);
      await eventually(async () => expect(await queue("down")).toMatchObject({ state: "retrying" }));
      await startAgain("right");
      await measure("down", 10, 20);
      await eventually(async () => expect(await queue("down")).toMatchObject({ state: "retrying" }));
      expect(await backlog("down")).toBeGreaterThanOrEqual(20);
      await proxy.up();
      await delivered("down");
      expect(await tracker.steps("down", project)).toEqual(upTo(20));
      expect(await tracker.alerts("down", project)).toEqual([expect.stringContaining("not finite at step 9")]);
    });

    test("that refuses the credentials is parked with the field to mend, and gets everything once they are right", async () => {
      await startAgain("wrong");
      await declare("stranger");
      await measure("stranger", 0, 10);
      expect(await parked("stranger")).toContain(words.credentials);
      await delivered("stranger", "board");
      await measure("stranger", 10, 20);
      expect(await backlog("stranger")).toBeGreaterThanOrEqual(20);
      await startAgain("right");
      await delivered("stranger");
      expect(await tracker.steps("stranger", project)).toEqual(upTo(20));
    });

    test("whose run was deleted is parked with the reason, does not get it back, and goes on once that is mended", async () => {
      await declare("gone");
      await measure("gone", 0, 5);
      await delivered("gone");
      await tracker.deleteRun("gone", project);
      await measure("gone", 5, 10);
      expect(await parked("gone")).toContain(words.deleted);
      await delivered("gone", "board");
      if (tracker.restoreRun !== undefined) {
        await tracker.restoreRun("gone", project);
        await declare("gone");
        await delivered("gone");
        expect(await tracker.steps("gone", project)).toEqual(upTo(10));
        return;
      }
      await declare("gone");
      expect(await parked("gone")).toContain(words.deleted);
      await declare("gone", { project: "elsewhere" });
      await delivered("gone");
      expect(await tracker.steps("gone", project)).toEqual([]);
      expect(await tracker.steps("gone", "elsewhere")).toEqual(upTo(10, 5));
    });
  });
}
