import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type RunDetail, snapshotSchema } from "@noisescale/protocol";
import { afterEach, beforeEach, expect, test } from "vitest";
import { MlflowServer } from "../../plugins/tracker-mlflow/test/mlflow-server.ts";
import { TrackioServer } from "../../plugins/tracker-trackio/test/trackio-server.ts";
import { apiKey, entity, WandbServer } from "../../plugins/tracker-wandb/test/wandb-server.ts";
import { trackersPython } from "../tools/python-process.ts";
import { CommandProcess } from "./command-process.ts";

const hookPython = fileURLToPath(new URL("../../.cache/venv-python-hook/bin/python", import.meta.url));
const hook = fileURLToPath(new URL("../../plugins/hook-python/", import.meta.url));

let folder: string;
let collector: CommandProcess | undefined;
let mlflow: MlflowServer | undefined;
let wandb: WandbServer | undefined;
let trackio: TrackioServer | undefined;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "python-hook-"));
});

afterEach(async () => {
  await collector?.kill();
  await Promise.all([mlflow?.stop(), wandb?.stop(), trackio?.stop()]);
  [mlflow, wandb, trackio] = [undefined, undefined, undefined];
  await rm(folder, { recursive: true, force: true });
});

const example = join(hook, "examples/pytorch_digits.py");

/** Runs a Python program that prints one JSON object. */
async function runPython<T>(
  url: string,
  argv: readonly string[],
  { interpreter = hookPython, environment = {} }: { interpreter?: string; environment?: Record<string, string> } = {},
): Promise<T> {
  const program = spawn(interpreter, argv, {
    cwd: folder,
    env: {
      ...process.env,
      PYTHONPATH: join(hook, "src"),
      PYTHONDONTWRITEBYTECODE: "1",
      NOISESCALE_URL: url,
      OMP_NUM_THREADS: "1",
      ...environment,
    },
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

/** A collector with these trackers and no credentials but theirs. @returns its address */
async function startCollector(...trackers: readonly object[]): Promise<string> {
  const config = join(folder, "noisescale.config.json");
  await writeFile(config, JSON.stringify({ trackers }));
  collector = CommandProcess.ofSources("serve", "--port", "0", "--data", join(folder, "data"), "--config", config);
  const [, url = ""] = await collector.prints(/(http:\/\/127\.0\.0\.1:\d+)/);
  return url;
}

test("a PyTorch training on real digits gives an identifiable noise scale at a real collector", async () => {
  collector = CommandProcess.ofSources("serve", "--port", "0", "--data", join(folder, "data"));
  const [, url = ""] = await collector.prints(/(http:\/\/127\.0\.0\.1:\d+)/);

  const { arrived, measurements } = await runPython<{ arrived: boolean; measurements: number }>(url, [
    example,
    "--run",
    "digits-python",
  ]);

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

/** The last values of an MLflow run. */
async function metricsOf(runId: string): Promise<Map<string, { value: number; step: number }>> {
  const answer = await fetch(`${mlflow?.url}/api/2.0/mlflow/runs/get?run_id=${runId}`);
  const { run } = (await answer.json()) as {
    run: { data: { metrics: { key: string; value: number; step: number }[] } };
  };
  return new Map(run.data.metrics.map(({ key, value, step }) => [key, { value, step }]));
}

test("the MLflow run that a training logs to already gets the noise scale, though nobody named it", async () => {
  mlflow = await MlflowServer.start();
  const url = await startCollector({ name: "mlflow", kind: "mlflow", tracking_uri: mlflow.url });

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
  const { run_id } = await runPython<{ run_id: string }>(url, ["-c", program]);

  const metrics = () => metricsOf(run_id);
  await expect.poll(async () => (await metrics()).get("noise_scale/batch_size")?.step, { timeout: 120_000 }).toBe(99);
  const snapshot = snapshotSchema.parse(await (await fetch(`${url}/v1/runs/digits-mlflow/snapshot`)).json());
  expect((await metrics()).get("noise_scale/b_simple")?.value).toBe(snapshot.b_simple);
  expect((await metrics()).get("loss")).toEqual({ value: 2.5, step: 0 });
}, 300_000);

test("the run of Lightning's MLFlowLogger gets it too, though it is not MLflow's active one", async () => {
  mlflow = await MlflowServer.start();
  const url = await startCollector({ name: "mlflow", kind: "mlflow", tracking_uri: mlflow.url });

  const program = `
import json
import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import MLFlowLogger
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
import noisescale

class Network(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(8, 3)

    def training_step(self, batch, batch_idx):
        loss = nn.functional.cross_entropy(self.net(batch[0]), batch[1])
        self.log("loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.05)

pl.seed_everything(0)
data = TensorDataset(torch.randn(160, 8), torch.randint(3, (160,)))
logger = MLFlowLogger("digits", tracking_uri=${JSON.stringify(mlflow.url)})
callback = noisescale.lightning.Callback(run="digits-lightning", project="digits", every=1)
options = {"max_epochs": 1, "accelerator": "cpu", "enable_checkpointing": False, "enable_progress_bar": False}
trainer = pl.Trainer(logger=logger, callbacks=[callback], accumulate_grad_batches=2, log_every_n_steps=1, **options)
trainer.fit(Network(), DataLoader(data, batch_size=8))
print(json.dumps({"run_id": logger.run_id}))
`;
  const { run_id } = await runPython<{ run_id: string }>(url, ["-c", program]);

  await expect
    .poll(async () => (await metricsOf(run_id)).get("noise_scale/batch_size"), { timeout: 120_000 })
    .toEqual({ value: 16, step: 9 });
  expect((await metricsOf(run_id)).has("loss")).toBe(true);
}, 300_000);

test("a W&B run gets it from the training's own process, where the collector has no W&B and no key", async () => {
  wandb = await WandbServer.start();
  const url = await startCollector();

  const program = `
import contextlib, io, json, runpy, sys
import wandb
settings = wandb.Settings(silent=True, disable_git=True, x_disable_stats=True, x_disable_meta=True)
with wandb.init(project="digits", id="mine", entity=${JSON.stringify(entity)}, settings=settings) as run:
    run.log({"loss": 2.5})
    with contextlib.redirect_stdout(io.StringIO()):
        sys.argv = ["pytorch_digits.py", "--run", "digits-wandb", "--steps", "100"]
        runpy.run_path(${JSON.stringify(example)}, run_name="__main__")
print(json.dumps({}))
`;
  const directories = { WANDB_DIR: folder, WANDB_CACHE_DIR: folder, WANDB_CONFIG_DIR: folder, WANDB_DATA_DIR: folder };
  await runPython(url, ["-c", program], {
    environment: { WANDB_BASE_URL: wandb.url, WANDB_API_KEY: apiKey, WANDB_ERROR_REPORTING: "false", ...directories },
  });

  const snapshot = snapshotSchema.parse(await (await fetch(`${url}/v1/runs/digits-wandb/snapshot`)).json());
  const rows = wandb.run("digits", "mine").rows.map(({ content }) => content);
  expect(rows[0]).toMatchObject({ _step: 0, loss: 2.5 });
  // The training logged nothing more: what came at its end is there all the same.
  expect(rows.at(-1)).toMatchObject({
    "noise_scale/b_simple": snapshot.b_simple,
    "noise_scale/recommended_batch_size": snapshot.recommendation.batch_size,
    "noise_scale/batch_size": 64,
  });
  expect(wandb.violations).toEqual([]);
  expect([...wandb.runs.keys()]).toEqual(["digits/mine"]);
  const { trackers } = (await (await fetch(`${url}/v1/runs/digits-wandb`)).json()) as RunDetail;
  expect(trackers).toEqual([]);
}, 120_000);

/** What a hook does with its measurements, without a training: PyTorch is not installed beside trackio. */
const reported = `
from noisescale.sinks import sink_of
from noisescale.user_runs import OwnLog, found_runs

def report(run):
    sink = sink_of(None, run, {"project": "digits"}, found=found_runs())
    for step in range(30):
        squares = {"small": {"batch_size": 8, "squared_norm": 1.5, "count": 4}, "big": {"batch_size": 32, "squared_norm": 0.75}}
        sink.record({"step": step, "time_ms": 1_790_000_000_000 + 1000 * step, **squares})
    sink.event({"step": 30, "time_ms": 1_790_000_030_000, "kind": "finished", "code": "finished"})
    assert sink.flush(30)
    OwnLog().update(sink.snapshot, last=True)
    assert sink.close()
`;

test("a run at a trackio server is named to the collector, which writes to it", async () => {
  trackio = await TrackioServer.start();
  const { url: server_url, writeToken } = trackio;
  const url = await startCollector({ name: "trackio", kind: "trackio", server_url, write_token: writeToken });

  const program = `${reported}
import json
import trackio
run = trackio.init(project="digits", name="mine", server_url=${JSON.stringify(server_url)}, embed=False)
trackio.log({"loss": 2.5})
report("digits-trackio")
trackio.finish()
print(json.dumps({"run_id": run.id}))
`;
  const { run_id } = await runPython<{ run_id: string }>(url, ["-c", program], {
    interpreter: trackersPython,
    environment: { HF_HUB_OFFLINE: "1", TRACKIO_DIR: join(folder, "trackio"), TRACKIO_WRITE_TOKEN: writeToken },
  });

  const last = async () =>
    (await trackio?.read("digits", run_id))?.logs.filter((row) => "noise_scale/batch_size" in row).at(-1);
  await expect.poll(last, { timeout: 60_000 }).toMatchObject({ step: 29, "noise_scale/batch_size": 32 });
  expect((await trackio.runs("digits")).map(({ id }) => id)).toEqual([run_id]);
}, 120_000);

test("a trackio run in files gets it from the training's own process, and its own steps go on as they would", async () => {
  const url = await startCollector();
  const program = `${reported}
import json
import trackio
from trackio.sqlite_storage import SQLiteStorage
run = trackio.init(project="digits", name="mine", embed=False)
trackio.log({"loss": 2.5})
trackio.log({"loss": 2.4})
report("digits-trackio")
trackio.log({"loss": 2.3})
trackio.finish()
logs = SQLiteStorage.get_logs("digits", run_id=run.id)
print(json.dumps([{"step": row["step"], **{key: row[key] for key in ("loss", "noise_scale/batch_size") if key in row}} for row in logs]))
`;
  const logs = await runPython<object[]>(url, ["-c", program], {
    interpreter: trackersPython,
    environment: { HF_HUB_OFFLINE: "1", TRACKIO_DIR: join(folder, "trackio") },
  });
  expect(logs).toEqual([
    { step: 0, loss: 2.5 },
    { step: 1, loss: 2.4 },
    { step: 1, "noise_scale/batch_size": 32 },
    { step: 2, loss: 2.3 },
  ]);
}, 120_000);
