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

/** A collector whose tracker takes the first call of run `a` as `first` says, and every other as a tracker in memory does. */
async function withFirstCall(
  first: (signal: AbortSignal) => Promise<void>,
): Promise<TestCollector & { readonly calls: () => number; readonly atOnce: () => number }> {
  vi.useFakeTimers({
    toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "Date"],
    shouldAdvanceTime: true,
  });
  onTestFinished(() => {
    vi.useRealTimers();
  });
  const memory = new MemoryTracker({ pushEverySeconds: 1, panels: [], note: false });
  let calls = 0;
  let underWay = 0;
  let atOnce = 0;
  const tracker: Tracker = {
    kind: "first-call",
    capabilities: memory.capabilities,
    openRun: async (target, context) => {
      const run = await memory.openRun(target, context);
      const send: TrackerRun["send"] = async (delivery, position, signal = expect.fail()) => {
        if (context.run !== "a") return run.send(delivery, position, signal);
        calls += 1;
        underWay += 1;
        atOnce = Math.max(atOnce, underWay);
        try {
          if (calls === 1) await first(signal);
          return await run.send(delivery, position);
        } finally {
          underWay -= 1;
        }
      };
      return { url: null, close: async () => undefined, send };
    },
    selfTest: () => memory.selfTest(),
    close: () => memory.close(),
  };
  const collector = await startTestCollector({ trackers: new Map([["memory", { tracker, projects: undefined }]]) });
  await collector.request("PUT", "/v1/runs/a", declaration);
  await post(collector, 0, 20);
  await eventually(() => expect(calls).toBe(1));
  return { ...collector, tracker: memory, calls: () => calls, atOnce: () => atOnce };
}

const minute = 60_000;

test("a call that takes long lets the tracker's other runs go on, and its late success is acknowledged: nothing is sent twice", async () => {
  const answer = Promise.withResolvers<void>();
  const collector = await withFirstCall(() => answer.promise);
  await collector.request("PUT", "/v1/runs/b", { project: "p", trackers: [{ name: "memory", run: { id: "y" } }] });
  await collector.request("POST", "/v1/runs/b/measurements", { measurements: measurements(0, 20) });
  await vi.advanceTimersByTimeAsync(2 * minute);
  await eventually(() => expect(collector.tracker.runs.get("y")?.points).not.toEqual([]));
  const slow = { state: "waiting", message: "memory: a call has taken 2 minutes so far; it is cut after 10 minutes" };
  await eventually(async () => expect(await tracked(collector)).toMatchObject(slow));
  // Longer than a lease.
  await vi.advanceTimersByTimeAsync(6 * minute);
  expect(collector.calls()).toBe(1);
  answer.resolve();
  await eventually(async () =>
    expect(await tracked(collector)).toMatchObject({ state: "ok", backlog: 0, message: null }),
  );
  expect(stepsOf(collector.tracker, "noise_scale/batch_size")).toEqual([0, 10, 19]);
  expect(collector.tracker.runs.get("x")?.deliveries).toHaveLength(2);
  expect([collector.calls(), collector.atOnce()]).toEqual([2, 1]);
});

test("a call that hangs is cut after ten minutes, and tried again when it has ended", async () => {
  const collector = await withFirstCall(
    (signal) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
  );
  await vi.advanceTimersByTimeAsync(9 * minute);
  expect(collector.calls()).toBe(1);
  await vi.advanceTimersByTimeAsync(minute);
  const cut = "memory: the call had not ended after 10 minutes and was cut";
  await eventually(async () => expect(await tracked(collector)).toMatchObject({ state: "retrying", message: cut }));
  await vi.advanceTimersByTimeAsync(minute);
  await eventually(async () => expect(await tracked(collector)).toMatchObject({ state: "ok", backlog: 0 }));
  expect(stepsOf(collector.tracker, "noise_scale/batch_size")).toEqual([0, 10, 19]);
  expect(collector.atOnce()).toBe(1);
});

test("a call that cannot be cut holds its own run's queue alone, which says so, and no other call of the run begins before its end", async () => {
  const answer = Promise.withResolvers<void>();
  const collector = await withFirstCall(() => answer.promise);
  await vi.advanceTimersByTimeAsync(30 * minute);
  const message = expect.stringContaining("was cut after 10 minutes has still not ended");
  expect(await tracked(collector)).toMatchObject({ state: "waiting", message });
  // Another target is another queue: its call waits too.
  await collector.request("PUT", "/v1/runs/a", { project: "p", trackers: [{ name: "memory", run: { id: "z" } }] });
  await vi.advanceTimersByTimeAsync(10 * minute);
  expect(collector.calls()).toBe(1);
  answer.resolve();
  await eventually(async () =>
    expect(await tracked(collector)).toMatchObject({ state: "ok", backlog: 0, message: null }),
  );
  expect(collector.atOnce()).toBe(1);
  // What the first target was sent was not acknowledged by the second.
  const shown = (collector.tracker.runs.get("z")?.points ?? []).filter(({ key }) => key === "noise_scale/batch_size");
  expect(shown.map(({ step }) => step)).toEqual([0, 10, 19]);
});

test("a collector that ends tells calls under way to stop", async () => {
  const stopped = Promise.withResolvers<unknown>();
  const collector = await withFirstCall((signal) => {
    signal.addEventListener("abort", () => stopped.resolve(signal.reason));
    return new Promise(() => undefined);
  });
  const closed = collector.collector.close();
  await vi.advanceTimersByTimeAsync(5000);
  await closed;
  expect(await stopped.promise).toMatchObject({ message: "the collector ends" });
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
