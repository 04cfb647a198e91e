import { describeTracker } from "@noisescale/tracker/contract";
import { mlflowTracker } from "@noisescale/tracker-mlflow";
import { MlflowServer } from "./mlflow-server.ts";
import { PythonMlflowClient } from "./python-mlflow-client.ts";

describeTracker("mlflowTracker", {
  start: async () => {
    const server = await MlflowServer.start();
    const python = new PythonMlflowClient(server.url);
    return {
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
        };
      },
      stop: async () => {
        python.stop();
        await server.stop();
      },
    };
  },
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
