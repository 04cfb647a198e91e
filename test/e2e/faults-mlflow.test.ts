import { MlflowServer } from "../../plugins/tracker-mlflow/test/mlflow-server.ts";
import { type ListedMlflowRun, PythonMlflowClient } from "../../plugins/tracker-mlflow/test/python-mlflow-client.ts";
import { ReverseProxy } from "../../plugins/tracker-mlflow/test/reverse-proxy.ts";
import { describeTrackerFaults, type FaultyTracker } from "./tracker-faults-suite.ts";

describeTrackerFaults("MLflow", startMlflow, { credentials: "MLFLOW_TRACKING_TOKEN", deleted: "restore" });

async function startMlflow(): Promise<FaultyTracker> {
  const server = await MlflowServer.start();
  // A stock server knows no accounts.
  const entrance = await ReverseProxy.demandingToken(server.url, "right", "Basic none");
  const client = new PythonMlflowClient(server.url);
  const find = async (run: string, project: string): Promise<ListedMlflowRun> => {
    const found = (await client.runsOf(project)).filter(({ tags }) => tags["noisescale.run"] === run);
    const [only] = found;
    if (only === undefined || found.length > 1) throw new Error(`${run} has ${found.length} runs in MLflow`);
    return only;
  };
  const read = async (run: string, project: string) => client.readRun((await find(run, project)).run_id);
  return {
    url: entrance.url,
    config: (name, address, credentials) => ({ name, kind: "mlflow", tracking_uri: address, token: credentials }),
    bringsRows: (path) => path.endsWith("/runs/log-batch"),
    steps: async (run, project) =>
      ((await read(run, project)).metrics["noise_scale/batch_size"] ?? []).map(([step]) => step),
    alerts: async (run, project) =>
      Object.entries((await read(run, project)).tags).flatMap(([key, text]) =>
        key.startsWith("noise_scale.alert.") ? [text] : [],
      ),
    deleteRun: async (run, project) => client.deleteRun((await find(run, project)).run_id),
    restoreRun: async (run, project) => client.restoreRun((await find(run, project)).run_id),
    stop: async () => {
      client.stop();
      entrance.stop();
      await server.stop();
    },
  };
}
