import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { panelNames } from "@noisescale/charts";
import { type Snapshot, snapshotSchema } from "@noisescale/protocol";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { MlflowServer } from "../../plugins/tracker-mlflow/test/mlflow-server.ts";
import { CommandProcess } from "./command-process.ts";

interface MlflowRun {
  readonly info: { readonly run_id: string; readonly experiment_id: string; readonly status: string };
  readonly data: {
    readonly metrics: readonly { readonly key: string; readonly value: number; readonly step: number }[];
    readonly tags: readonly { readonly key: string; readonly value: string }[];
  };
}

let directory: string;
let server: MlflowServer;
let demo: CommandProcess;
let snapshot: Snapshot;
let run: MlflowRun;

async function mlflow(path: string, body?: unknown): Promise<Record<string, unknown>> {
  const headers = { "content-type": "application/json" };
  const request = body === undefined ? {} : { method: "POST", headers, body: JSON.stringify(body) };
  return (await fetch(`${server.url}/api/2.0/mlflow/${path}`, request)).json() as Promise<Record<string, unknown>>;
}

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "noisescale-demo-mlflow-"));
  server = await MlflowServer.start();
  demo = CommandProcess.ofSources("demo", "--exit", "--json", "--data", directory, "--mlflow", server.url);
  expect(await demo.exit()).toBe(0);
  snapshot = snapshotSchema.parse(JSON.parse(demo.output));
  const { experiment } = (await mlflow("experiments/get-by-name?experiment_name=noisescale%20demo")) as {
    experiment: { experiment_id: string };
  };
  const { runs } = (await mlflow("runs/search", { experiment_ids: [experiment.experiment_id] })) as {
    runs: MlflowRun[];
  };
  expect(runs).toHaveLength(1);
  run = runs[0] as MlflowRun;
});
afterAll(async () => {
  await demo?.kill();
  await server?.stop();
  await rm(directory, { recursive: true });
});

describe("noisescale demo --mlflow", () => {
  test("ends the run that it made as finished, with the last snapshot's numbers", () => {
    expect(run.info.status).toBe("FINISHED");
    const metric = (name: string) => run.data.metrics.find(({ key }) => key === `noise_scale/${name}`);
    expect(metric("b_simple")).toMatchObject({ step: snapshot.step, value: snapshot.b_simple });
    expect(metric("recommended_batch_size")?.value).toBe(snapshot.recommendation.batch_size);
  });

  test("leaves every panel as a picture and as a page, and a note that says what to do", async () => {
    const { files } = (await mlflow(`artifacts/list?run_id=${run.info.run_id}&path=noise_scale`)) as {
      files: { path: string }[];
    };
    const paths = files.map(({ path }) => path);
    // The demo gives no cause for an alert.
    for (const panel of panelNames.filter((name) => name !== "alerts")) {
      for (const ending of ["png", "html"]) expect(paths).toContain(`noise_scale/${panel}.${ending}`);
    }
    const note = run.data.tags.find(({ key }) => key === "mlflow.note.content")?.value;
    expect(note).toMatch(/a batch of [\d,]+ would take|about right/);
  });
});
