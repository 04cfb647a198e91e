import { MemoryTracker, metricKey, type Tracker, TrackerError } from "@noisescale/tracker";
import { describeTracker } from "@noisescale/tracker/contract";
import { expect, test } from "vitest";

const away = new TrackerError("memory: is away; try again later.", { retryable: true, retryAfterSeconds: 3 });
const context = { run: "r", project: "p", name: "r", queue: "0123456789abcdef" };
const point = (step: number) => ({ key: metricKey.bSimple, step, timeMs: 1000 * step, value: 1 });

describeTracker("MemoryTracker", {
  start: async () => {
    const tracker = new MemoryTracker();
    return {
      createTracker: () => tracker,
      target: (run) => ({ id: run }),
      read: async (run) => {
        const held = tracker.runs.get(run);
        if (held === undefined) throw new Error(`${run} was never opened`);
        const alerts = held.alerts.map(({ title, text }) => `${title} ${text}`);
        return {
          points: held.points,
          panels: [...held.panels.values()],
          note: held.note,
          panelData: held.panelData,
          alerts,
        };
      },
      countRuns: async () => tracker.runs.size,
      stop: async () => {},
    };
  },
  refusedTargets: {
    "unknown field": { id: "r", url: "http://169.254.169.254" },
    "not a name": { id: 7 },
    "an inherited name": JSON.parse('{"__proto__": {"run": "x"}}'),
  },
  createUnreachableTracker: (): Tracker => {
    const tracker = new MemoryTracker();
    tracker.failNext(away);
    return tracker;
  },
  panelBytes: (contentType, seed) => new TextEncoder().encode(`${contentType} ${seed}`),
});

test("a failure before the delivery leaves nothing, one after it leaves the points once when they are sent again", async () => {
  const tracker = new MemoryTracker();
  const run = await tracker.openRun({}, context);
  tracker.failNext(away);
  await expect(run.send({ points: [point(0)], panels: [] }, null)).rejects.toBe(away);
  expect(tracker.runs.get("r")?.points).toEqual([]);

  tracker.failNext(away, "answer-lost");
  await expect(run.send({ points: [point(0)], panels: [] }, null)).rejects.toBe(away);
  expect(tracker.runs.get("r")?.points).toEqual([point(0)]);
  await run.send({ points: [point(0)], panels: [] }, null);
  expect(tracker.runs.get("r")?.points).toEqual([point(0)]);
});

test("a position that the run never answered is refused", async () => {
  const run = await new MemoryTracker().openRun({}, context);
  await expect(run.send({ points: [], panels: [] }, "4")).rejects.toThrow(TrackerError);
});

test("a test can wait for a delivery instead of sleeping", async () => {
  const tracker = new MemoryTracker();
  const run = await tracker.openRun({}, context);
  const arrived = tracker.until((held) => (held.runs.get("r")?.points.length ?? 0) >= 2);
  const position = await run.send({ points: [point(0)], panels: [] }, null);
  await run.send({ points: [point(1)], panels: [] }, position);
  await arrived;
});

test("a tracker that is away stays away until it is back", async () => {
  const tracker = new MemoryTracker();
  const run = await tracker.openRun({}, context);
  tracker.failure = away;
  await expect(run.send({ points: [point(0)], panels: [] }, null)).rejects.toBe(away);
  await expect(run.send({ points: [point(0)], panels: [] }, null)).rejects.toBe(away);
  tracker.failure = undefined;
  expect(await run.send({ points: [point(0)], panels: [] }, null)).toBe("1");
});
