import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { panelNames } from "@noisescale/charts";
import { type Delivery, metricKey, type RunContext } from "@noisescale/tracker";
import { describeTracker } from "@noisescale/tracker/contract";
import { wandbTracker } from "@noisescale/tracker-wandb";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { PythonProcess } from "../../../test/tools/python-process.ts";
import { WandbClient, wandbServer } from "../src/client.ts";
import { workspaceSpec } from "../src/workspace.ts";
import { wandbPython } from "./wandb-python.ts";
import { apiKey, WandbServer } from "./wandb-server.ts";

const startMs = 1_790_000_000_000;
const context: RunContext = { run: "mnist-1", project: "digits", name: "MNIST", queue: "0123456789abcdef" };

/** What W&B's own reader tells of a run. */
interface ReadRun {
  readonly name: string;
  readonly group: string | null;
  readonly job_type: string | null;
  readonly state: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly history: readonly Readonly<Record<string, unknown>>[];
  readonly summary: Readonly<Record<string, unknown>>;
  /** Bytes by name, base64. */
  readonly files: Readonly<Record<string, string>>;
}

let server: WandbServer;
let reader: PythonProcess;
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "noisescale-wandb-"));
  server = await WandbServer.start();
  reader = startPython();
});
afterAll(async () => {
  reader?.stop();
  await server?.stop();
  await rm(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
});
beforeEach(() => {
  server.violations.length = 0;
});

const startPython = (): PythonProcess => wandbPython(server, folder);
async function readRun(project: string, run: string): Promise<ReadRun> {
  return (await reader.ask("read", project, run)) as ReadRun;
}
function connection() {
  return { apiKey, baseUrl: server.url };
}
function push(steps: readonly number[], more: Partial<Delivery> = {}): Delivery {
  const points = steps.map((step) => ({ key: metricKey.bSimple, step, timeMs: startMs + step, value: 400 + step }));
  return { points, panels: [], ...more };
}
/** The companion of a run of the collector. */
function companion(run: string) {
  const found = [...server.runs.values()].filter(({ config }) => {
    const own = config["noisescale"] as { value: { run: string } } | undefined;
    return own?.value.run === run;
  });
  if (found.length !== 1) throw new Error(`${run} has ${found.length} companions`);
  return found[0] as (typeof found)[number];
}

describeTracker("wandbTracker", {
  start: async () => ({
    createTracker: () => wandbTracker({ ...connection(), reachableEntities: ["me"], reachableProjects: ["digits"] }),
    target: (run) => ({ project: "digits", run_name: `<b>${run}<b>` }),
    read: async (run) => {
      const { name } = companion(run);
      const { history, files } = await readRun("digits", name);
      const points = history.flatMap((row) =>
        Object.entries(row).flatMap(([key, value]) =>
          typeof value === "number" && !key.startsWith("_") && key !== "noise_scale/step"
            ? [
                {
                  key,
                  step: Number(row["noise_scale/step"]),
                  timeMs: Math.round(Number(row["_timestamp"]) * 1000),
                  value,
                },
              ]
            : [],
        ),
      );
      const panels = new Map<string, Buffer>();
      for (const [key, value] of history.flatMap((row) => Object.entries(row))) {
        if (!key.startsWith("noise_scale/panel/")) continue;
        const { path } = value as { path: string };
        panels.set(key.replace("noise_scale/panel/", ""), Buffer.from(files[path] ?? "", "base64"));
      }
      return {
        points,
        panels: [...panels].map(([panel, bytes]) => ({ panel, contentType: "text/html", bytes })),
        note: undefined,
        alerts: server.run("digits", name).alerts.map(({ title, text }) => `${title}\n${text}`),
      };
    },
    countRuns: async () => server.runs.size,
    stop: async () => {},
  }),
  refusedTargets: {
    "unknown field": { project: "digits", base_url: "http://169.254.169.254" },
    "not text": { project: 7 },
    empty: { project: "" },
    "a path": { project: "digits/../payroll" },
    "a folder above": { project: "digits", run_id: ".." },
    "a mode that is none": { mode: "resume" },
    "shared without a run": { project: "digits", mode: "shared" },
    "an entity that is not allowed": { entity: "payroll", project: "digits" },
    "a project that is not allowed": { project: "payroll" },
  },
  createUnreachableTracker: () => wandbTracker({ apiKey, baseUrl: "http://127.0.0.1:1" }),
  panelBytes: (contentType, seed) => new TextEncoder().encode(`<!doctype html><p>${contentType} ${seed} ≥ 310</p>`),
});

test("the test server is one that W&B's own client trains at, and reads back from, as it was written", async () => {
  const trainer = startPython();
  const run = (await trainer.ask("init", "digits", "alone", "sweep", false)) as string;
  await trainer.ask("train", 0, 25);
  await trainer.ask("log_page", "<p>a page</p>");
  await trainer.ask("finish");
  trainer.stop();
  const read = await readRun("digits", run);
  expect(read).toMatchObject({ name: "alone", group: "sweep", state: "finished", config: { batch_size: 128 } });
  expect(read.history.slice(0, 25).map(({ _step, loss }) => [_step, loss])).toEqual(
    Array.from({ length: 25 }, (_, step) => [step, 1 / (step + 1)]),
  );
  expect(read.summary).toMatchObject({ accuracy: 0.24 });
  const [page] = Object.values(read.files);
  expect(atob(page ?? "")).toContain("<p>a page</p>");
  expect(server.violations).toEqual([]);
});

test("the test server notices what would cost a user rows, and refuses what it does not know", async () => {
  const trainer = startPython();
  const run = (await trainer.ask("init", "digits", "trodden on", null, false)) as string;
  await trainer.ask("train", 0, 3);
  await trainer.ask("finish");
  trainer.stop();
  const client = new WandbClient(wandbServer(connection()));
  const path = { entity: "me", project: "digits", run };
  await client.stream(path, { history: { offset: 1, rows: [{ loss: 7 }] } });
  await client.stream(path, { history: { offset: 9, rows: [{ loss: 7 }] } });
  await client.stream(path, { history: { offset: 0, rows: [{ loss: 7 }] } }, "a-writer");
  const seen = server.violations.map((violation) => violation.replace(/^.*: noisescale /, ""));
  expect(seen).toEqual(["overwrote row 1 of wandb-core", "left a gap at 3", "writes beside the trainer of the run"]);
  await expect(client.stream({ ...path, run: "nobody" }, {})).rejects.toThrow("not found");
  await expect(client.putRun({ ...path, entity: "payroll" }, { config: {} })).rejects.toThrow("permission denied");
  const headers = { authorization: `Basic ${btoa(`api:${apiKey}`)}`, "content-type": "application/json" };
  const unknown = { method: "POST", headers, body: JSON.stringify({ query: "{ viewer { creditCard } }" }) };
  expect((await fetch(`${server.url}/graphql`, unknown)).status).toBe(400);
});

test("a companion run stands beside the user's run, in its group, and no row of the user's run is written over", async () => {
  const trainer = startPython();
  const users = (await trainer.ask("init", "digits", "baseline", "sweep-7", false)) as string;
  const tracker = wandbTracker(connection());
  const run = await tracker.openRun({ run_id: users }, { ...context, run: "beside" });
  const trained = trainer.ask("train", 0, 60);
  let position: string | null = null;
  for (let step = 0; step < 40; step++) {
    const bytes = Buffer.from(`page ${step}`);
    const panel = {
      panel: "noise-scale",
      title: "Noise scale",
      contentType: "text/html",
      bytes,
      step,
      timeMs: startMs,
    };
    position = await run.send(
      push([step], { panels: step % 10 === 0 ? [{ ...panel, contentType: "text/html" }] : [] }),
      position,
    );
  }
  await trained;
  await trainer.ask("finish");
  trainer.stop();
  await run.send(push([40], { ended: { outcome: "finished", timeMs: startMs } }), position);
  await tracker.close();

  expect(server.violations).toEqual([]);
  const theirs = await readRun("digits", users);
  expect(theirs.history).toHaveLength(60);
  expect(theirs.history.map(({ loss }) => loss)).toEqual(Array.from({ length: 60 }, (_, step) => 1 / (step + 1)));
  expect(new Set(server.run("digits", users).rows.map(({ agent }) => agent))).toEqual(new Set(["wandb-core"]));

  const ours = await readRun("digits", companion("beside").name);
  expect(ours).toMatchObject({
    name: "MNIST noise scale",
    group: "sweep-7",
    job_type: "noise-scale",
    state: "finished",
  });
  expect(ours.history).toHaveLength(41 + 4);
  expect(ours.history.map(({ _step }) => _step)).toEqual(Array.from({ length: 45 }, (_, row) => row));
  expect(ours.summary).toMatchObject({ [metricKey.bSimple]: 440, "noise_scale/step": 40 });
  expect(companion("beside").config["_wandb"]).toEqual({
    value: {
      m: [
        { "1": "noise_scale/step", "6": [3], "7": [] },
        { "2": "noise_scale/*", "5": 1, "6": [1], "7": [] },
      ],
    },
  });
  expect(run.url).toBe(`${server.url}/me/digits/runs/${companion("beside").name}`);
});

test("in a run that was started in shared mode both writers' rows are all there, and its end stays the trainer's", async () => {
  const trainer = startPython();
  const users = (await trainer.ask("init", "digits", "together", null, true)) as string;
  const tracker = wandbTracker(connection());
  const run = await tracker.openRun({ run_id: users, mode: "shared" }, { ...context, run: "shared" });
  const trained = trainer.ask("train", 0, 60);
  let position: string | null = null;
  for (let step = 0; step < 40; step++) position = await run.send(push([step]), position);
  await run.send(push([40], { ended: { outcome: "failed", timeMs: startMs } }), position);
  await trained;
  expect(server.run("digits", users).state).toBe("running");
  await trainer.ask("finish");
  trainer.stop();
  await tracker.close();

  expect(server.violations).toEqual([]);
  const { history, state } = await readRun("digits", users);
  expect(state).toBe("finished");
  expect(history.filter((row) => "loss" in row).map(({ loss }) => loss)).toEqual(
    Array.from({ length: 60 }, (_, step) => 1 / (step + 1)),
  );
  expect(history.filter((row) => metricKey.bSimple in row).map((row) => row["noise_scale/step"])).toEqual(
    Array.from({ length: 41 }, (_, step) => step),
  );
});

test("the word of a hook is not enough: a run that W&B does not know as shared takes no second writer", async () => {
  const trainer = startPython();
  const users = (await trainer.ask("init", "digits", "not shared", null, false)) as string;
  const tracker = wandbTracker(connection());
  const opened = tracker.openRun({ run_id: users, mode: "shared" }, context);
  await expect(opened).rejects.toMatchObject({
    retryable: false,
    message: expect.stringContaining("not started in shared mode"),
  });
  await trainer.ask("finish");
  trainer.stop();
  await tracker.close();
});

test("a user's run that is not there yet is waited for", async () => {
  const tracker = wandbTracker(connection());
  const opened = tracker.openRun({ run_id: "not-yet" }, context);
  await expect(opened).rejects.toMatchObject({ retryable: true, message: expect.stringContaining("yet") });
  await tracker.close();
});

test("rows whose acknowledgement was lost are written again where they are; another queue goes on behind them", async () => {
  const tracker = wandbTracker(connection());
  const first = await tracker.openRun({ project: "digits" }, { ...context, run: "lost" });
  const position = await first.send(push([0, 1]), null);
  server.loseNextAnswer = true;
  await expect(first.send(push([2, 3]), position)).rejects.toMatchObject({ retryable: true });
  const restarted = await wandbTracker(connection()).openRun({ project: "digits" }, { ...context, run: "lost" });
  expect(await restarted.send(push([2, 3]), position)).toBe("4");

  const other = { ...context, run: "lost", queue: "fedcba9876543210" };
  const second = await tracker.openRun({ project: "digits" }, other);
  await second.send(push([4]), null);
  const again = await wandbTracker(connection()).openRun({ project: "digits" }, other);
  await again.send(push([4]), null);
  await tracker.close();
  const { history } = await readRun("digits", companion("lost").name);
  expect(history.map((row) => row["noise_scale/step"])).toEqual([0, 1, 2, 3, 4]);
  expect(server.violations).toEqual([]);
});

test("a companion that a person renamed keeps its name, and one that was deleted is not brought back", async () => {
  const tracker = wandbTracker(connection());
  const run = await tracker.openRun({ project: "digits" }, { ...context, run: "deleted" });
  const position = await run.send(push([0]), null);
  companion("deleted").displayName = "my name for it";
  await tracker.openRun({ project: "digits" }, { ...context, run: "deleted" });
  expect(companion("deleted").displayName).toBe("my name for it");

  server.delete(companion("deleted"));
  await expect(run.send(push([1]), position)).rejects.toMatchObject({ retryable: false });
  const again = tracker.openRun({ project: "digits" }, { ...context, run: "deleted" });
  await expect(again).rejects.toMatchObject({ retryable: false, message: expect.stringContaining("not brought back") });
  await tracker.close();
});

test("a project gets one saved view, which W&B's own model of workspaces reads; none where the configuration says so", async () => {
  const viewsOf = () => [...server.views.values()].filter(({ spec }) => spec === JSON.stringify(workspaceSpec()));
  const before = viewsOf().length;
  const without = wandbTracker({ ...connection(), workspace: false });
  server.views.clear();
  await without.openRun({ project: "viewed" }, { ...context, run: "without view" });
  expect(server.views.size).toBe(0);
  await without.close();
  expect(before).toBe(1);

  const tracker = wandbTracker(connection());
  await tracker.openRun({ project: "viewed" }, { ...context, run: "view" });
  await tracker.openRun({ project: "viewed" }, { ...context, run: "another view" });
  await tracker.close();
  expect(viewsOf()).toHaveLength(1);
  const workspace = (await reader.ask("read_workspace", "viewed", "noisescale")) as {
    name: string;
    sections: [string, [string, string][]][];
  };
  expect(workspace.name).toBe("Noise scale");
  const [[section, panels] = ["", []]] = workspace.sections;
  expect(section).toBe("Noise scale");
  expect(panels.map(([type]) => type)).toEqual([...Array.from({ length: 7 }, () => "LinePlot"), "MediaBrowser"]);
});

test("the saved view shows every panel that there is", () => {
  const [keys = ""] = /"mediaKeys":(\[[^\]]*\])/.exec(JSON.stringify(workspaceSpec()))?.slice(1) ?? [];
  const shown = (JSON.parse(keys) as string[]).map((key) => key.replace("noise_scale/panel/", ""));
  expect(shown.toSorted()).toEqual([...panelNames].sort());
});

test("an alert of the user's run keeps its severity, and waits long enough that a retry sends no second one", async () => {
  const tracker = wandbTracker(connection());
  const run = await tracker.openRun({ project: "digits" }, { ...context, run: "alerted" });
  const alert = {
    id: "a1",
    rule: "signal-lost",
    severity: "warning",
    title: "Signal lost",
    text: "Look.",
    link: "http://collector/runs/alerted",
    step: 7,
    timeMs: startMs,
  } as const;
  const position = await run.send(push([7], { alerts: [alert] }), null);
  await run.send(push([8], { alerts: [alert] }), position);
  await tracker.close();
  const { alerts } = companion("alerted");
  expect(alerts.map(({ severity, text }) => [severity, text])).toEqual([
    ["WARN", "Look.\nhttp://collector/runs/alerted"],
  ]);
});

test("a server that is busy is asked again when it wishes; a wrong key is refused in words that name where it stands", async () => {
  const tracker = wandbTracker(connection());
  server.planned.push({ status: 429, headers: { "retry-after": "17" } });
  await expect(tracker.openRun({}, context)).rejects.toMatchObject({ retryable: true, retryAfterSeconds: 17 });
  await tracker.close();

  const stranger = wandbTracker({ apiKey: "b".repeat(40), baseUrl: server.url });
  const refused = stranger.openRun({}, context);
  await expect(refused).rejects.toMatchObject({ retryable: false, message: expect.stringContaining("WANDB_API_KEY") });
  await expect(refused).rejects.not.toThrow("b".repeat(40));
  await stranger.close();
});
