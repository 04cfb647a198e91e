// Points a second that each plugin pushes, beside the tracker's own client pushing the same ones to the same server: MLflow and
// trackio to their own servers, W&B to the test server, TensorBoard to files. Interleaved, the median of the rounds.
//
//   node --conditions=@noisescale/source test/bench/trackers.ts [rounds] [sets of points in a delivery]
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Point, Tracker } from "@noisescale/tracker";
import { mlflowTracker } from "@noisescale/tracker-mlflow";
import { tensorboardTracker } from "@noisescale/tracker-tensorboard";
import { trackioTracker } from "@noisescale/tracker-trackio";
import { wandbTracker } from "@noisescale/tracker-wandb";
import { MlflowServer } from "../../plugins/tracker-mlflow/test/mlflow-server.ts";
import { TrackioServer } from "../../plugins/tracker-trackio/test/trackio-server.ts";
import { apiKey, WandbServer } from "../../plugins/tracker-wandb/test/wandb-server.ts";
import { PythonProcess } from "../tools/python-process.ts";

const steps = 2000;
const metrics = 9;
const rounds = Number(process.argv[2] ?? 3);
/** By default what the collector sends in one go at most while a tracker has fallen behind [sets of points]. */
const setsOfDelivery = Number(process.argv[3] ?? 64);

const folder = await mkdtemp(join(tmpdir(), "noisescale-bench-"));
const script = new URL("tracker_clients.py", import.meta.url);
const interpreter = fileURLToPath(new URL("../../.cache/venv/bin/python", import.meta.url));
const [mlflow, trackio, wandb] = await Promise.all([MlflowServer.start(), TrackioServer.start(), WandbServer.start()]);
const stock = new PythonProcess(script, { MLFLOW_DISABLE_TELEMETRY: "true" }, interpreter);
const clients = new PythonProcess(script, {
  HF_HUB_OFFLINE: "1",
  TRACKIO_DIR: join(folder, "trackio"),
  TRACKIO_WRITE_TOKEN: trackio.writeToken,
  WANDB_BASE_URL: wandb.url,
  WANDB_API_KEY: apiKey,
  WANDB_DIR: folder,
  WANDB_CACHE_DIR: folder,
  WANDB_CONFIG_DIR: folder,
  WANDB_ERROR_REPORTING: "false",
  WANDB_SILENT: "true",
});

interface Contest {
  readonly name: string;
  readonly tracker: Tracker;
  /** @returns [s] */
  readonly own: (round: number) => Promise<unknown>;
}

const contests: readonly Contest[] = [
  {
    name: "MLflow 3.17.2",
    tracker: mlflowTracker({ trackingUri: mlflow.url }),
    own: () => stock.ask("mlflow", mlflow.url, steps),
  },
  {
    name: "W&B (client 0.31.0, test server)",
    tracker: wandbTracker({ apiKey, baseUrl: wandb.url }),
    own: () => clients.ask("wandb", wandb.url, steps),
  },
  {
    name: "TensorBoard 2.21.0",
    tracker: tensorboardTracker({ root: join(folder, "ours") }),
    own: (round) => stock.ask("tensorboard", join(folder, `own-${round}`), steps),
  },
  {
    name: "trackio 0.43.0",
    tracker: trackioTracker({ serverUrl: trackio.url, writeToken: trackio.writeToken }),
    own: () => clients.ask("trackio", trackio.url, steps),
  },
];

/** @returns [s] until the tracker has taken the last delivery */
async function push(tracker: Tracker, round: number): Promise<number> {
  const context = { run: `bench-${round}`, project: "bench", name: `bench-${round}`, queue: "0123456789abcdef" };
  const run = await tracker.openRun({}, context);
  const start = performance.now();
  let position: string | null = null;
  for (let first = 0; first < steps; first += setsOfDelivery) {
    const points: Point[] = [];
    for (let step = first; step < Math.min(first + setsOfDelivery, steps); step += 1) {
      for (let key = 0; key < metrics; key += 1) {
        const value = 400 + step + key / 10;
        points.push({ key: `noise_scale/metric_${key}`, step, timeMs: 1_790_000_000_000 + step, value });
      }
    }
    position = await run.send({ points, panels: [] }, position);
  }
  await run.close();
  return (performance.now() - start) / 1000;
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;

try {
  console.log(
    `${steps * metrics} points in deliveries of ${setsOfDelivery * metrics}, ${rounds} rounds; ` +
      "points a second, plugin and own client, and their ratio",
  );
  for (const { name, tracker, own } of contests) {
    const [ours, theirs]: [number[], number[]] = [[], []];
    for (let round = 0; round < rounds; round += 1) {
      ours.push((steps * metrics) / (await push(tracker, round)));
      theirs.push((steps * metrics) / Number(await own(round)));
    }
    const ratio = median(ours.map((rate, round) => rate / (theirs[round] ?? Number.NaN)));
    const figures = [median(ours), median(theirs)].map((rate) => Math.round(rate).toLocaleString("en-US").padStart(9));
    console.log(`${name.padEnd(34)} ${figures.join(" ")}  ×${ratio.toFixed(2)}`);
    await tracker.close();
  }
} finally {
  stock.stop();
  clients.stop();
  await Promise.all([mlflow.stop(), trackio.stop(), wandb.stop()]);
  await rm(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
}
