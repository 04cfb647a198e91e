import { type Delivery, metricKey, type RunContext } from "@noisescale/tracker";
import { describeTracker } from "@noisescale/tracker/contract";
import { trackioTracker } from "@noisescale/tracker-trackio";
import { afterAll, beforeAll, expect, test } from "vitest";
import { TrackioServer } from "./trackio-server.ts";

const startMs = 1_790_000_000_000;
const context: RunContext = { run: "mnist-1", project: "digits", name: "MNIST", queue: "0123456789abcdef" };

let server: TrackioServer;
beforeAll(async () => {
  server = await TrackioServer.start();
});
afterAll(async () => {
  await server?.stop();
});

function connection(): { readonly serverUrl: string; readonly writeToken: string } {
  return { serverUrl: server.url, writeToken: server.writeToken };
}
function push(steps: readonly number[], more: Partial<Delivery> = {}): Delivery {
  const points = steps.map((step) => ({ key: metricKey.bSimple, step, timeMs: startMs + step, value: 400 + step }));
  return { points, panels: [], ...more };
}
const page = {
  panel: "noise-scale",
  title: "Noise scale",
  contentType: "text/html",
  bytes: Buffer.from("<!doctype html><p>shown</p>"),
  step: 1,
  timeMs: startMs,
} as const;

describeTracker("trackioTracker", {
  start: async () => ({
    createTracker: () => trackioTracker({ ...connection(), reachableProjects: ["di.gits", "contract"] }),
    target: (run) => ({ project: "digits", run_name: `../../<b>${run}</b>` }),
    read: async (run) => {
      const name = `../../<b>${run}</b>`;
      const found = (await server.runs("digits")).filter((listed) => listed.name === name);
      if (found.length > 1) throw new Error(`${run} has ${found.length} runs in trackio`);
      const { logs, files } = await server.read("digits", found[0]?.id ?? "none");
      const alerts = await server.alerts("digits", name);
      return {
        points: logs
          .flatMap((row) =>
            Object.entries(row).flatMap(([key, value]) =>
              typeof value === "number" && key !== "step" ? [{ key, step: Number(row["step"]), timeMs: 0, value }] : [],
            ),
          )
          .sort((a, b) => a.step - b.step),
        panels: Object.entries(files).map(([key, base64]) => ({
          panel: key.replace("noise_scale/panel/", ""),
          contentType: "text/html",
          bytes: Buffer.from(base64, "base64"),
        })),
        note: undefined,
        alerts: alerts.map(({ title, text }) => `${title}\n${text}`),
      };
    },
    countRuns: async () => server.countRuns(),
    stop: async () => {},
  }),
  refusedTargets: {
    "unknown field": { project: "digits", server_url: "http://169.254.169.254" },
    "run and name": { run_id: "a".repeat(32), run_name: "x" },
    "not text": { run_id: 7 },
    empty: { project: "" },
    "a control character": { project: "digits\n" },
    "a project that is not allowed": { project: "payroll" },
    "another spelling of a project that is not allowed": { project: "pay.roll" },
  },
  keepsTime: false,
  createUnreachableTracker: () => trackioTracker({ serverUrl: "http://127.0.0.1:1" }),
  panelBytes: (contentType, seed) => new TextEncoder().encode(`<!doctype html><p>${contentType} ${seed} ≥ 310</p>`),
});

test("pushing into a run that a Python process is training into loses and overwrites nothing of theirs", async () => {
  const trainer = await server.trainer("digits", "baseline");
  const tracker = trackioTracker(connection());
  const early = tracker.openRun({ run_id: trainer.runId }, context);
  await expect(early).rejects.toMatchObject({ retryable: true, message: expect.stringContaining("first log") });

  await trainer.process.ask("train", 0, 1);
  // trackio's client sends from a thread of its own.
  await expect
    .poll(() => server.runs("digits").then((runs) => runs.map(({ id }) => id)), { timeout: 30_000 })
    .toContain(trainer.runId);
  const run = await tracker.openRun({ run_id: trainer.runId }, context);
  const trained = trainer.process.ask("train", 1, 60).then(() => trainer.process.ask("finish"));
  let position: string | null = null;
  for (let step = 0; step < 40; step++) {
    const panels = step % 10 === 0 ? [{ ...page, bytes: Buffer.from(`page ${step}`) }] : [];
    position = await run.send(push([step], { panels }), position);
  }
  await trained;
  trainer.process.stop();
  await tracker.close();

  const { logs, files } = await server.read("digits", trainer.runId);
  const valuesOf = (key: string) => logs.filter((row) => key in row).map((row) => [row["step"], row[key]]);
  expect(valuesOf("loss").sort()).toEqual(Array.from({ length: 60 }, (_, step) => [step, 1 / (step + 1)]).sort());
  expect(valuesOf("accuracy")).toHaveLength(60);
  expect(valuesOf(metricKey.bSimple)).toEqual(Array.from({ length: 40 }, (_, step) => [step, 400 + step]));
  expect(valuesOf("noise_scale/panel/noise-scale")).toHaveLength(1);
  expect(atob(files["noise_scale/panel/noise-scale"] ?? "")).toBe("page 30");
  expect((await server.runs("digits")).filter(({ name }) => name === "baseline")).toHaveLength(1);
  expect(run.url).toBe(`${server.url}/?project=digits&run_ids=${trainer.runId}`);
});

test("a run that was renamed keeps its new name, and one that was deleted is not brought back", async () => {
  const tracker = trackioTracker(connection());
  const run = await tracker.openRun({ project: "moved", run_name: "old" }, context);
  const position = await run.send(push([0], { panels: [page] }), null);
  const [listed] = await server.runs("moved");
  await server.rename("moved", listed?.id ?? "", "new");
  await run.send(push([1], { panels: [{ ...page, bytes: Buffer.from("moved") }] }), position);
  expect((await server.runs("moved")).map(({ name }) => name)).toEqual(["new"]);
  expect(atob((await server.read("moved", listed?.id ?? "")).files["noise_scale/panel/noise-scale"] ?? "")).toBe(
    "moved",
  );

  await server.delete("moved", listed?.id ?? "");
  await expect(run.send(push([2]), position)).rejects.toMatchObject({
    retryable: false,
    message: expect.stringContaining("deleted"),
  });
  expect(await server.runs("moved")).toEqual([]);
  await tracker.close();
});

test("an alert has its own level, step and time, and the link to the run", async () => {
  const tracker = trackioTracker(connection());
  const run = await tracker.openRun({ run_name: "alerted" }, { ...context, run: "alerted" });
  const alert = {
    id: "a1",
    rule: "signal-lost",
    title: "Signal lost",
    text: "Look.",
    step: 7,
    timeMs: startMs,
  } as const;
  const alerts = [
    { ...alert, severity: "warning", link: "http://collector/runs/alerted" },
    { ...alert, id: "a2", severity: "error", timeMs: startMs + 1 },
  ] as const;
  await run.send(push([7], { alerts }), null);
  await tracker.close();
  const read = await server.alerts("digits", "alerted");
  expect(read.map(({ level, step, text, timestamp }) => [level, step, text, timestamp]).sort()).toEqual([
    ["error", 7, "Look.", new Date(startMs + 1).toISOString()],
    ["warn", 7, "Look.\nhttp://collector/runs/alerted", new Date(startMs).toISOString()],
  ]);
});

test("a write token may stand in the address, as trackio prints it; without one the message says where to put it", async () => {
  const entered = trackioTracker({ serverUrl: `${server.url}/?write_token=${server.writeToken}` });
  const run = await entered.openRun({}, { ...context, run: "by-address" });
  await run.send(push([1]), null);
  expect(run.url).not.toContain(server.writeToken);
  await entered.close();

  const stranger = trackioTracker({ serverUrl: server.url });
  const refused = (await stranger.openRun({}, { ...context, run: "by-nobody" })).send(push([1]), null);
  await expect(refused).rejects.toMatchObject({
    retryable: false,
    message: expect.stringContaining("TRACKIO_WRITE_TOKEN"),
  });
  await stranger.close();
});
