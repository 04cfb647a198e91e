import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { MlflowServer } from "../../../plugins/tracker-mlflow/test/mlflow-server.ts";
import { frontier } from "../src/frontier.ts";
import { commandLine } from "./command-line.ts";

let server: MlflowServer;
beforeAll(async () => {
  server = await MlflowServer.start();
  vi.stubEnv("MLFLOW_TRACKING_URI", server.url);
  const experimentId = await experiment("sweep");
  for (const batchSize of [16, 32, 64, 128, 256, 512]) await logRun(experimentId, batchSize);
  await logRun(experimentId, undefined);
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await server?.stop();
});

async function mlflow<Answer>(path: string, body?: unknown): Promise<Answer> {
  const request =
    body === undefined
      ? {}
      : { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  const response = await fetch(`${server.url}/api/2.0/mlflow/${path}`, request);
  if (!response.ok) throw new Error(await response.text());
  return response.json() as Promise<Answer>;
}
async function experiment(name: string): Promise<string> {
  return (await mlflow<{ experiment_id: string }>("experiments/create", { name })).experiment_id;
}

/** A loss of 2 − step/S: it meets 1 after S = 100·(1 + 200/batch size) steps, and 1.5 after half of them. */
async function logRun(experimentId: string, batchSize: number | undefined): Promise<void> {
  const { run } = await mlflow<{ run: { info: { run_id: string } } }>("runs/create", {
    experiment_id: experimentId,
    run_name: `batch ${batchSize}`,
    start_time: 1_790_000_000_000,
  });
  const steps = 100 * (1 + 200 / (batchSize ?? 100));
  const metrics = Array.from({ length: 150 }, (_, i) => ({
    key: "loss",
    step: i * 10,
    value: 2 - (i * 10) / steps,
    timestamp: 1_790_000_000_000 + i,
  }));
  const params = batchSize === undefined ? [] : [{ key: "batch_size", value: String(batchSize) }];
  await mlflow("runs/log-batch", { run_id: run.info.run_id, metrics, params });
}

interface Answer {
  readonly targets: readonly {
    readonly target: number;
    readonly critical_batch_size: number;
    readonly min_steps: number;
    readonly runs: number;
  }[];
}
const sweep = ["frontier", "--tracker", "mlflow", "--experiment", "sweep"];

describe("noisescale frontier --tracker mlflow", () => {
  test("fits the runs that an experiment holds, and names those that it cannot use", async () => {
    const { code, output, messages } = await commandLine(
      [...sweep, "--target", "loss<=1.5,loss<=1", "--json", "--no-show"],
      [frontier],
    );
    expect(messages).toMatch(/^Left out: batch undefined \([0-9a-f]{32}\): its parameter batch_size was not logged\n$/);
    expect(code).toBe(0);
    const { targets } = JSON.parse(output) as Answer;
    // The losses are straight lines, so that interpolated crossings are exact.
    expect(targets.map(({ target, runs }) => [target, runs])).toEqual([
      [1.5, 6],
      [1, 6],
    ]);
    for (const [i, minSteps] of [50, 100].entries()) {
      expect(targets[i]?.critical_batch_size).toBeCloseTo(200, 3);
      expect(targets[i]?.min_steps).toBeCloseTo(minSteps, 4);
    }
  });

  test("shows the frontier as one run of the experiment, which is none of the sweep the next time", async () => {
    const argv = [...sweep, "--target", "loss=1"];
    const first = await commandLine(argv, [frontier]);
    const second = await commandLine(argv, [frontier]);
    const [, address] = /Shown at (\S+)\n$/.exec(first.messages) ?? [];
    expect(second.messages).toContain(`Shown at ${address}\n`);
    expect(second.output).toBe(first.output);
    const runId = address?.split("/").at(-1);
    const { run } = await mlflow<{
      run: {
        data: { metrics: { key: string; value: number }[]; tags: { key: string; value: string }[] };
        info: { status: string };
      };
    }>(`runs/get?run_id=${runId}`);
    expect(run.info.status).toBe("FINISHED");
    expect(run.data.metrics.find(({ key }) => key === "noise_scale/fitted/critical_batch_size")?.value).toBeCloseTo(
      200,
      3,
    );
    expect(run.data.tags.find(({ key }) => key === "mlflow.note.content")?.value).toMatch(
      /Critical batch size 200 .*get-artifact\?path=noise_scale%2Fsweep-frontier\.png/s,
    );
    const { files } = await mlflow<{ files: { path: string }[] }>(`artifacts/list?run_id=${runId}&path=noise_scale`);
    expect(files.map(({ path }) => path).sort()).toEqual([
      "noise_scale/frontier.html",
      "noise_scale/sweep-frontier.png",
    ]);
  });

  test.each([
    ["an experiment that is not there", ["--experiment", "nowhere", "--target", "loss<=1"], /no experiment "nowhere"/],
    ["a metric that no run has", ["--experiment", "sweep", "--target", "acc>=1"], /never logged acc/],
    ["a target that no run reaches", ["--experiment", "sweep", "--target", "loss<=-90"], /cannot be fitted/],
    [
      "a tracker that is not configured",
      ["--tracker", "x", "--experiment", "sweep", "--target", "a<=1"],
      /No tracker "x"/,
    ],
  ])("says in a sentence what is wrong with %s, and ends with 1", async (_what, options, message) => {
    const { code, output, messages } = await commandLine(["frontier", "--tracker", "mlflow", ...options], [frontier]);
    expect([code, output]).toEqual([1, ""]);
    expect(messages).toMatch(message);
  });

  test.each([
    [["--tracker", "mlflow"], /--tracker needs --experiment/],
    [["sweep.csv", "--tracker", "mlflow"], /name a FILE .*a --tracker or a --collector/],
    [[...sweep.slice(1), "--target", "loss"], /--target must be such as/],
    [[...sweep.slice(1), "--target", "a<=1,b<=1"], /one metric/],
  ])("takes %j for wrong usage", async (options, message) => {
    const { code, messages } = await commandLine(["frontier", ...options], [frontier]);
    expect(code).toBe(2);
    expect(messages).toMatch(message);
  });
});
