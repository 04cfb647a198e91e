import { metricKey } from "@noisescale/tracker";
import type { MlflowClient } from "./client.ts";
import { artifactFolder } from "./transform.ts";

/** MLflow's own experiment, which is there from its start. */
const defaultExperimentId = "0";

/**
 * Makes a run with a metric, a tag and an artifact, reads it back and deletes it.
 *
 * @returns what was tried
 * @throws TrackerError of the first step that is refused
 */
export async function trySelf(
  client: MlflowClient,
  config: { readonly experiments?: readonly string[] | undefined; readonly artifacts?: boolean | undefined },
): Promise<string> {
  const [allowed] = config.experiments ?? [];
  const experimentId =
    allowed === undefined
      ? defaultExperimentId
      : ((await client.findExperiment(allowed))?.experiment_id ?? (await client.createExperiment(allowed)));
  const nowMs = Date.now();
  const run = await client.createRun(experimentId, "noisescale doctor", nowMs, []);
  const runId = run.info.run_id;
  try {
    await client.logBatch(runId, [{ key: metricKey.bSimple, value: 1, timestamp: nowMs, step: 0 }]);
    await client.setTag(runId, { key: "noisescale.doctor", value: "a test run, deleted at once" });
    if (config.artifacts !== false) {
      await client.putArtifact(run, `${artifactFolder}/doctor.txt`, "text/plain", Buffer.from("noisescale doctor\n"));
      await client.listArtifacts(runId, artifactFolder);
    }
    await client.getRun(runId);
  } catch (error) {
    // What was refused first is what there is to mend.
    await client.deleteRun(runId).catch(() => undefined);
    throw error;
  }
  await client.deleteRun(runId);
  const what = config.artifacts === false ? "a metric" : "a metric and an artifact";
  return `Wrote ${what} into a run of its own at ${client.server}, read it back and deleted it.`;
}
