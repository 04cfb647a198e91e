import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { snapshotSchema } from "@noisescale/protocol";
import { afterEach, beforeEach, expect, test } from "vitest";
import { MlflowServer } from "../../plugins/tracker-mlflow/test/mlflow-server.ts";
import { CommandProcess } from "./command-process.ts";

const hookPython = fileURLToPath(new URL("../../.cache/venv-python-hook/bin/python", import.meta.url));
const hook = fileURLToPath(new URL("../../plugins/hook-python/", import.meta.url));

let folder: string;
let collector: CommandProcess | undefined;
let mlflow: MlflowServer | undefined;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "python-hook-"));
});

afterEach(async () => {
  await collector?.kill();
  await mlflow?.stop();
  mlflow = undefined;
  await rm(folder, { recursive: true, force: true });
});

const example = join(hook, "examples/pytorch_digits.py");

/** Runs a Python program that prints one JSON object. */
async function runPython<T>(url: string, ...argv: readonly string[]): Promise<T> {
  const program = spawn(hookPython, argv, {
    cwd: folder,
    env: { ...process.env, PYTHONPATH: join(hook, "src"), NOISESCALE_URL: url, OMP_NUM_THREADS: "1" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let printed = "";
  program.stdout.setEncoding("utf8").on("data", (text: string) => {
    printed += text;
  });
  const [code] = await once(program, "close");
  expect(code).toBe(0);
  // The last line: others may be those of a library.
  return JSON.parse(printed.trim().split("\n").at(-1) ?? "");
}

test("a PyTorch training on real digits gives an identifiable noise scale at a real collector", async () => {
  collector = CommandProcess.ofSources("serve", "--port", "0", "--data", join(folder, "data"));
  const [, url = ""] = await collector.prints(/(http:\/\/127\.0\.0\.1:\d+)/);

  const { arrived, measurements } = await runPython<{ arrived: boolean; measurements: number }>(
    url,
    ...[example, "--run", "digits-python"],
  );

  expect(arrived).toBe(true);
  expect(measurements).toBe(600);
  const snapshot = snapshotSchema.parse(await (await fetch(`${url}/v1/runs/digits-python/snapshot`)).json());
  expect(snapshot.measurements).toBe(600);
  expect(snapshot.identifiable).toBe(true);
  expect(snapshot.batch_size).toBe(64);
  expect(Object.keys(snapshot.layers).sort()).toEqual(["0", "2"]);
  const run = await (await fetch(`${url}/v1/runs/digits-python`)).json();
  expect(run.state).toBe("finished");
  // Everything arrived, so that nothing is left to wait on disk.
  expect(await readdir(folder)).toEqual(["data"]);
}, 120_000);

test("the MLflow run that a training logs to already gets the noise scale, though nobody named it", async () => {
  mlflow = await MlflowServer.start();
  const config = join(folder, "noisescale.config.json");
  const trackers = [{ name: "mlflow", kind: "mlflow", tracking_uri: mlflow.url }];
  await writeFile(config, JSON.stringify({ trackers }));
  collector = CommandProcess.ofSources("serve", "--port", "0", "--data", join(folder, "data"), "--config", config);
  const [, url = ""] = await collector.prints(/(http:\/\/127\.0\.0\.1:\d+)/);

  const program = `
import contextlib, io, json, runpy, sys
import mlflow
mlflow.set_tracking_uri(${JSON.stringify(mlflow.url)})
with mlflow.start_run() as run, contextlib.redirect_stdout(io.StringIO()):
    mlflow.log_metric("loss", 2.5, step=0)
    sys.argv = ["pytorch_digits.py", "--run", "digits-mlflow", "--steps", "100"]
    runpy.run_path(${JSON.stringify(example)}, run_name="__main__")
print(json.dumps({"run_id": run.info.run_id}))
`;
  const { run_id } = await runPython<{ run_id: string }>(url, "-c", program);

  const metrics = async (): Promise<Map<string, { value: number; step: number }>> => {
    const answer = await fetch(`${mlflow?.url}/api/2.0/mlflow/runs/get?run_id=${run_id}`);
    const { run } = (await answer.json()) as {
      run: { data: { metrics: { key: string; value: number; step: number }[] } };
    };
    return new Map(run.data.metrics.map(({ key, value, step }) => [key, { value, step }]));
  };
  await expect.poll(async () => (await metrics()).get("noise_scale/batch_size")?.step, { timeout: 120_000 }).toBe(99);
  const snapshot = snapshotSchema.parse(await (await fetch(`${url}/v1/runs/digits-mlflow/snapshot`)).json());
  expect((await metrics()).get("noise_scale/b_simple")?.value).toBe(snapshot.b_simple);
  expect((await metrics()).get("loss")).toEqual({ value: 2.5, step: 0 });
}, 300_000);
