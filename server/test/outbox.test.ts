import type { RunDetail } from "@noisescale/protocol";
import { MemoryTracker, type Tracker, TrackerError, type TrackerRun } from "@noisescale/tracker";
import { expect, onTestFinished, test, vi } from "vitest";
import { wireMeasurement } from "./measurement-source.ts";
import { temporaryDirectory } from "./temporary-directory.ts";
import { startTestCollector, type TestCollector } from "./test-collector.ts";

vi.setConfig({ testTimeout: 20_000 });

const declaration = { project: "p", trackers: [{ name: "memory", run: { id: "x" } }] };
const measurements = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) => wireMeasurement(from + i));

async function post({ request }: TestCollector, from: number, to: number): Promise<void> {
  const answer = await request("POST", "/v1/runs/a/measurements", { measurements: measurements(from, to) });
  expect(answer.status).toBe(200);
}

async function finish({ request }: TestCollector): Promise<void> {
  const events = [{ step: 1000, time_ms: 1, kind: "finished", code: "finished" }];
  expect((await request("POST", "/v1/runs/a/events", { events })).status).toBe(200);
}

async function tracked({ request }: TestCollector): Promise<RunDetail["trackers"][number] | undefined> {
  return (await request("GET", "/v1/runs/a")).json<RunDetail>().trackers[0];
}

/** A sender looks every second for what is due, and tries again after at least a quarter of one. */
const eventually = <T>(check: () => T | Promise<T>): Promise<T> => vi.waitFor(check, { timeout: 8000, interval: 20 });

const stepsOf = (tracker: MemoryTracker, key: string): number[] =>
  (tracker.runs.get("x")?.points ?? []).filter((point) => point.key === key).map(({ step }) => step);

test("a tracker gets one set of points a second of the run's own time, and the last at the end", async () => {
  const collector = await startTestCollector();
  await collector.request("PUT", "/v1/runs/a", declaration);
  await post(collector, 0, 106);
  await finish(collector);
  await eventually(() => expect(stepsOf(collector.tracker, "noise_scale/batch_size").at(-1)).toBe(105));
  // Measurements lie 100 ms apart.
  expect(stepsOf(collector.tracker, "noise_scale/batch_size")).toEqual([
    0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 105,
  ]);
  expect(stepsOf(collector.tracker, "noise_scale/b_simple")).toEqual([20, 30, 40, 50, 60, 70, 80, 90, 100, 105]);
  const run = collector.tracker.runs.get("x");
  expect(run?.note).toMatch(/Noise scale: a/);
  expect(run?.points.every(({ value }) => Number.isFinite(value))).toBe(true);
  await eventually(() => expect(run?.deliveries.at(-1)?.ended).toMatchObject({ outcome: "finished" }));
  expect(run?.deliveries.filter(({ ended }) => ended !== undefined)).toHaveLength(1);
  const snapshot = await collector.snapshot("a");
  const last = run?.points.findLast(({ key }) => key === "noise_scale/b_simple");
  expect(last).toEqual({ key: "noise_scale/b_simple", step: 105, timeMs: snapshot.time_ms, value: snapshot.b_simple });
});

test("a run that goes quiet gets its last points without any end", async () => {
  const collector = await startTestCollector();
  await collector.request("PUT", "/v1/runs/a", declaration);
  await post(collector, 0, 5);
  await eventually(() => expect(stepsOf(collector.tracker, "noise_scale/batch_size")).toEqual([0, 4]));
});

test("the layers with the largest share of tr Σ are sent under clean keys", async () => {
  const collector = await startTestCollector();
  await collector.request("PUT", "/v1/runs/a", declaration);
  const layers = Object.fromEntries(
    Array.from({ length: 40 }, (_, i) => [`layer ${i}`, [0.035 * (i + 1), 0.008 * (i + 1)]]),
  );
  const records = measurements(0, 60).map((one) => ({ ...one, layers }));
  await collector.request("POST", "/v1/runs/a/measurements", { measurements: records });
  await finish(collector);
  await eventually(() => {
    const keys = collector.tracker.runs.get("x")?.points.map(({ key }) => key) ?? [];
    const sent = new Set(keys.filter((key) => key.startsWith("noise_scale/layer/")));
    expect(sent.size).toBe(32);
    expect(sent).toContain("noise_scale/layer/layer_39/b_simple");
    expect(sent).not.toContain("noise_scale/layer/layer_0/b_simple");
  });
});

test("a tracker that is away is tried again, gets each point once, and at most the bound of sets", async () => {
  const collector = await startTestCollector();
  collector.tracker.failure = new TrackerError("memory: away", { retryable: true, retryAfterSeconds: 0 });
  await collector.request("PUT", "/v1/runs/a", declaration);
  await post(collector, 0, 20);
  await eventually(async () =>
    expect(await tracked(collector)).toMatchObject({ state: "retrying", message: "memory: away" }),
  );
  for (let from = 20; from < 3000; from += 500) await post(collector, from, from + 500);
  const backlog = (await tracked(collector))?.backlog ?? 0;
  // The bound, and what was claimed before the tracker went away.
  expect(backlog).toBeLessThanOrEqual(64 + 2);
  expect(backlog).toBeGreaterThan(16);
  collector.tracker.failure = undefined;
  await eventually(async () =>
    expect(await tracked(collector)).toMatchObject({ state: "ok", backlog: 0, message: null }),
  );
  const steps = stepsOf(collector.tracker, "noise_scale/batch_size");
  expect(steps).toEqual([...new Set(steps)].sort((one, other) => one - other));
  expect(steps.at(0)).toBe(0);
  expect(steps.at(-1)).toBeGreaterThan(2900);
});

test("what a tracker refuses for good is parked and shown, and tried again when the run is declared anew", async () => {
  const collector = await startTestCollector();
  await collector.request("PUT", "/v1/runs/a", { project: "p", trackers: [{ name: "memory", run: { path: "/etc" } }] });
  await post(collector, 0, 5);
  await eventually(async () => expect(await tracked(collector)).toMatchObject({ state: "parked" }));
  expect((await tracked(collector))?.message).toMatch(/takes \{"id"/);
  expect((await collector.request("GET", "/metrics")).text).toContain(
    'noisescale_outbox_parked{run="a",tracker="memory"} 1',
  );
  await collector.request("PUT", "/v1/runs/a", declaration);
  await eventually(async () => expect(await tracked(collector)).toMatchObject({ state: "ok", backlog: 0 }));
});

test("a tracker that never answers delays no other", async () => {
  const stuck = await startTestCollector();
  const other = { ...stuck.tracker.capabilities };
  const silent = {
    kind: "silent",
    capabilities: other,
    openRun: () => new Promise<never>(() => undefined),
    selfTest: () => new Promise<never>(() => undefined),
    close: async () => undefined,
  };
  const trackers = new Map([
    ["silent", { tracker: silent, projects: undefined }],
    ["memory", { tracker: stuck.tracker, projects: undefined }],
  ]);
  const collector = await startTestCollector({ trackers });
  await collector.request("PUT", "/v1/runs/a", {
    ...declaration,
    trackers: [{ name: "silent" }, ...declaration.trackers],
  });
  await post(collector, 0, 15);
  await eventually(() => expect(stepsOf(stuck.tracker, "noise_scale/batch_size")).toEqual([0, 10]));
});

test("a call that takes too long lets the tracker's other runs go on, and its own run's next call waits for its end", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"], shouldAdvanceTime: true });
  onTestFinished(() => {
    vi.useRealTimers();
  });
  const answers = Promise.withResolvers<void>();
  const memory = new MemoryTracker({ pushEverySeconds: 1, panels: [], note: false });
  let calls = 0;
  const stuck: Tracker = {
    kind: "stuck",
    capabilities: memory.capabilities,
    openRun: async (target, context) => {
      const run = await memory.openRun(target, context);
      const send: TrackerRun["send"] = async (delivery, position) => {
        if (context.run === "a") calls += 1;
        if (context.run === "a" && calls === 1) await answers.promise;
        return run.send(delivery, position);
      };
      return { url: null, close: async () => undefined, send };
    },
    selfTest: () => memory.selfTest(),
    close: () => memory.close(),
  };
  const trackers = new Map([["memory", { tracker: stuck, projects: undefined }]]);
  const collector = await startTestCollector({ trackers });
  await collector.request("PUT", "/v1/runs/a", declaration);
  await post(collector, 0, 20);
  await eventually(() => expect(calls).toBe(1));
  await collector.request("PUT", "/v1/runs/b", { project: "p", trackers: [{ name: "memory", run: { id: "y" } }] });
  await collector.request("POST", "/v1/runs/b/measurements", { measurements: measurements(0, 20) });
  await vi.advanceTimersByTimeAsync(120_000);
  await eventually(() => expect(memory.runs.get("y")?.points).not.toEqual([]));
  expect(await tracked(collector)).toMatchObject({ state: "retrying", message: expect.stringContaining("120 s") });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(calls).toBe(1);
  answers.resolve();
  await vi.advanceTimersByTimeAsync(300_000);
  await eventually(async () => expect(await tracked(collector)).toMatchObject({ state: "ok", backlog: 0 }));
  expect(calls).toBeGreaterThan(1);
  expect(stepsOf(memory, "noise_scale/batch_size").slice(0, 2)).toEqual([0, 10]);
});

test("what was not sent when the collector ended is sent after its next start", async () => {
  const dataDirectory = temporaryDirectory();
  const first = await startTestCollector({ dataDirectory });
  first.tracker.failure = new TrackerError("memory: away", { retryable: true });
  await first.request("PUT", "/v1/runs/a", declaration);
  await post(first, 0, 50);
  await finish(first);
  await first.collector.close();
  expect(first.tracker.runs.get("x")?.points ?? []).toEqual([]);
  const second = await startTestCollector({ dataDirectory });
  await eventually(() => expect(stepsOf(second.tracker, "noise_scale/batch_size")).toEqual([0, 10, 20, 30, 40, 49]));
});

test("what is due when the collector ends is sent before it does", async () => {
  const collector = await startTestCollector();
  await collector.request("PUT", "/v1/runs/a", declaration);
  await post(collector, 0, 50);
  await finish(collector);
  await collector.collector.close();
  expect(stepsOf(collector.tracker, "noise_scale/batch_size").at(-1)).toBe(49);
});

test("a run shows that its tracker is no longer configured", async () => {
  const dataDirectory = temporaryDirectory();
  const first = await startTestCollector({ dataDirectory });
  await first.request("PUT", "/v1/runs/a", declaration);
  await first.collector.close();
  const second = await startTestCollector({ dataDirectory, trackers: new Map() });
  expect(await tracked(second)).toMatchObject({
    state: "parked",
    message: expect.stringMatching(/no longer configured/),
  });
});

test("nothing is pushed where the training process logs itself, and that is shown; a mode that no plugin knows is refused", async () => {
  const collector = await startTestCollector();
  const target = { name: "memory", run: { id: "x" } };
  const inProcess = { project: "p", trackers: [{ ...target, mode: "in_process" }] };
  expect((await collector.request("PUT", "/v1/runs/a", inProcess)).status).toBe(201);
  await post(collector, 0, 50);
  await finish(collector);
  expect(await tracked(collector)).toMatchObject({ state: "in_process", backlog: 0, url: null });
  expect(collector.tracker.runs.size).toBe(0);

  await collector.request("PUT", "/v1/runs/a", { project: "p", trackers: [{ ...target, mode: "sideways" }] });
  await post(collector, 50, 60);
  await eventually(async () => expect(await tracked(collector)).toMatchObject({ state: "parked" }));
  expect((await tracked(collector))?.message).toContain("sideways");
});
