import { type Delivery, metricKey, type RunContext } from "@noisescale/tracker";
import { describeTracker } from "@noisescale/tracker/contract";
import { mlflowTracker } from "@noisescale/tracker-mlflow";
import { afterAll, beforeAll, expect, test } from "vitest";
import { MlflowServer } from "./mlflow-server.ts";
import { PythonMlflowClient } from "./python-mlflow-client.ts";
import { ReverseProxy } from "./reverse-proxy.ts";

const startMs = 1_790_000_000_000;
const context: RunContext = { run: "mnist-1", project: "digits", name: "MNIST", queue: "0123456789abcdef" };

let server: MlflowServer;
let python: PythonMlflowClient;
beforeAll(async () => {
  server = await MlflowServer.start();
  python = new PythonMlflowClient(server.url);
});
afterAll(async () => {
  python?.stop();
  await server?.stop();
});

describeTracker("mlflowTracker", {
  start: async () => ({
    createTracker: () => mlflowTracker({ trackingUri: server.url, experiments: ["contract", "digits"] }),
    target: (run) => ({ experiment: "digits", run_name: `<b>${run}</b>` }),
    read: async (run) => {
      const listed = (await python.runsOf("digits")).filter(({ tags }) => tags["noisescale.run"] === run);
      if (listed.length !== 1) throw new Error(`${run} has ${listed.length} runs in MLflow`);
      const { metrics, files, tags } = await python.readRun(listed[0]?.run_id ?? "");
      return {
        points: Object.entries(metrics).flatMap(([key, history]) =>
          history.map(([step, timeMs, value]) => ({ key, step, timeMs, value })),
        ),
        panels: Object.entries(files).map(([path, base64]) => ({
          panel: path.replace(/^noise_scale\/(.*)\.(png|html)$/, "$1"),
          contentType: path.endsWith(".png") ? "image/png" : "text/html",
          bytes: Buffer.from(base64, "base64"),
        })),
        note: tags["mlflow.note.content"],
        alerts: Object.entries(tags).flatMap(([key, value]) => (key.startsWith("noise_scale.alert.") ? [value] : [])),
      };
    },
    countRuns: () => python.countActiveRuns(),
    stop: async () => {},
  }),
  refusedTargets: {
    "unknown field": { experiment: "digits", tracking_uri: "http://169.254.169.254" },
    "run and experiment": { run_id: "a".repeat(32), experiment: "digits" },
    "no run's id": { run_id: "../../runs/delete" },
    "a run that does not exist": { run_id: "a".repeat(32) },
    "not text": { experiment: 7 },
    empty: { experiment: "" },
    "a control character": { experiment: "digits\n" },
    "an experiment that is not allowed": { experiment: "payroll" },
  },
  createUnreachableTracker: () => mlflowTracker({ trackingUri: "http://127.0.0.1:1" }),
  panelBytes: (contentType, seed) => new TextEncoder().encode(`<!doctype html><p>${contentType} ${seed} ≥ 310</p>`),
});

function push(steps: readonly number[], more: Partial<Delivery> = {}): Delivery {
  const points = steps.map((step) => ({ key: metricKey.bSimple, step, timeMs: startMs + step, value: 400 + step }));
  return { points, panels: [], ...more };
}
const picture = {
  panel: "noise-scale",
  title: "Noise scale",
  contentType: "image/png",
  bytes: Buffer.from("not shown here"),
  step: 1,
  timeMs: startMs,
} as const;

test("pushing into a run that a Python process is training into loses and overwrites nothing of theirs", async () => {
  const note = "# My run\n\nSeed 3, do not touch.";
  const runId = await python.createRun("digits", note);
  const tracker = mlflowTracker({ trackingUri: server.url });
  const run = await tracker.openRun({ run_id: runId }, context);

  const trained = python.train(runId, 60);
  let position: string | null = null;
  for (let step = 0; step < 40; step++) {
    const markdown = `**B_simple** ${400 + step}`;
    const panels = step % 10 === 0 ? [{ ...picture, bytes: Buffer.from(`picture ${step}`) }] : [];
    const parts = { panels, note: { markdown, step, timeMs: startMs + step } };
    position = await run.send(push([step], parts), position);
  }
  await trained;
  await run.send(push([40], { ended: { outcome: "finished", timeMs: startMs } }), position);
  await tracker.close();

  const read = await python.readRun(runId);
  expect(read.metrics["loss"]?.map(([step, , value]) => [step, value])).toEqual(
    Array.from({ length: 60 }, (_, step) => [step, 1 / (step + 1)]),
  );
  expect(read.metrics["accuracy"]).toHaveLength(60);
  expect(read.metrics[metricKey.bSimple]?.map(([step]) => step)).toEqual(Array.from({ length: 41 }, (_, step) => step));
  expect(read.tags).toMatchObject({ mine: "kept" });
  expect(Object.fromEntries(Object.entries(read.files).map(([path, data]) => [path, atob(data)]))).toEqual({
    "model/weights.txt": "weights",
    "noise_scale/noise-scale.png": "picture 30",
  });
  const shown = read.tags["mlflow.note.content"] ?? "";
  expect(shown.startsWith(`${note}\n\n<!-- noise_scale`)).toBe(true);
  expect(shown).toContain("**B_simple** 439");
  expect(shown).toContain(`![noise-scale](get-artifact?path=noise_scale%2Fnoise-scale.png&run_uuid=${runId})`);
});

test("the picture in the note is one that MLflow's page can load", async () => {
  const tracker = mlflowTracker({ trackingUri: server.url });
  const run = await tracker.openRun({ experiment: "digits" }, { ...context, run: "picture" });
  const runId = await run.send(push([1], { panels: [picture], note: { markdown: "x", step: 1, timeMs: 1 } }), null);
  await tracker.close();
  const note = (await python.readRun(runId)).tags["mlflow.note.content"] ?? "";
  const [, address] = /\]\((get-artifact[^)]*)\)/.exec(note) ?? [];
  const answer = await fetch(`${server.url}/${address}`);
  expect(await answer.text()).toBe("not shown here");
  expect(run.url).toMatch(new RegExp(`^${server.url}/#/experiments/\\d+/runs/${runId}$`));
});

test("a run that the collector made is found again, has the project and name, and ends when training ends", async () => {
  for (const parts of [{}, { ended: { outcome: "failed", timeMs: startMs + 5000 } }] as const) {
    const tracker = mlflowTracker({ trackingUri: server.url });
    const run = await tracker.openRun({}, { ...context, run: "made", project: "made-here" });
    await run.send(push([1], parts), null);
    await tracker.close();
  }
  const runs = await python.runsOf("made-here");
  expect(runs).toHaveLength(1);
  expect(runs[0]).toMatchObject({
    name: "MNIST",
    status: "FAILED",
    tags: { "noisescale.run": "made", "noisescale.project": "made-here" },
  });
});

test("an experiment gets one view, beside the user's own tags, and none where the configuration says so", async () => {
  const views = async (experiment: string): Promise<[string, string][]> =>
    Object.entries(await python.experimentTags(experiment)).filter(([key]) => key.includes("noise-scale"));
  await python.setExperimentTag("viewed", "mine", "kept");
  await python.setExperimentTag("viewed", "mlflow.sharedViewState.of-mine", "{}");
  for (const run of ["one", "two"]) {
    const tracker = mlflowTracker({ trackingUri: server.url });
    await (await tracker.openRun({ experiment: "viewed" }, { ...context, run })).send(push([1]), null);
    await tracker.close();
  }
  expect(await python.experimentTags("viewed")).toMatchObject({ mine: "kept", "mlflow.sharedViewState.of-mine": "{}" });
  const [pushed, ...others] = await views("viewed");
  expect(others).toEqual([]);

  // A view that somebody changed under its name is theirs.
  await python.setExperimentTag("viewed", pushed?.[0] ?? "", '{"name": "Mine now"}');
  const tracker = mlflowTracker({ trackingUri: server.url });
  await (await tracker.openRun({ experiment: "viewed" }, { ...context, run: "three" })).send(push([1]), null);
  await tracker.close();
  expect((await views("viewed"))[0]?.[1]).toBe('{"name": "Mine now"}');

  const without = mlflowTracker({ trackingUri: server.url, view: false });
  await (await without.openRun({ experiment: "not-viewed" }, { ...context, run: "four" })).send(push([1]), null);
  await without.close();
  expect(await views("not-viewed")).toEqual([]);
});

test("a run that was deleted takes nothing more, and the message says where to restore it", async () => {
  const tracker = mlflowTracker({ trackingUri: server.url });
  const runId = await python.createRun("digits");
  const run = await tracker.openRun({ run_id: runId }, context);
  await python.deleteRun(runId);
  await expect(run.send(push([1]), null)).rejects.toMatchObject({ retryable: false });
  await expect(tracker.openRun({ run_id: runId }, context)).rejects.toMatchObject({
    retryable: false,
    message: expect.stringContaining("restore"),
  });

  const made = await tracker.openRun({ experiment: "digits" }, { ...context, run: "unwanted" });
  const madeId = await made.send(push([1]), null);
  await python.deleteRun(madeId);
  const again = tracker.openRun({ experiment: "digits" }, { ...context, run: "unwanted" });
  await expect(again).rejects.toThrow("restore");
  await tracker.close();
});

test("a run's id gives no way into an experiment that is not allowed", async () => {
  const runId = await python.createRun("payroll");
  const tracker = mlflowTracker({ trackingUri: server.url, experiments: ["digits"] });
  await expect(tracker.openRun({ run_id: runId }, context)).rejects.toMatchObject({
    retryable: false,
    message: expect.stringContaining("payroll"),
  });
  await tracker.close();
});

test("a host name that the server does not list is refused in words that name its setting", async () => {
  // Stands for a name in DNS: the server sees the header that a client under that name would send.
  const alias = await ReverseProxy.start(server.url, () => ({ host: "mlflow.example.org" }));
  const tracker = mlflowTracker({ trackingUri: alias.url });
  await expect(tracker.openRun({}, context)).rejects.toMatchObject({
    retryable: false,
    message: expect.stringContaining("MLFLOW_SERVER_ALLOWED_HOSTS"),
  });
  await tracker.close();
  alias.stop();
});
