import {
  checkDelivery,
  type Delivery,
  type Tracker,
  type TrackerCapabilities,
  TrackerError,
  type TrackerRun,
} from "@noisescale/tracker";
import { MlflowClient, type MlflowConnection, type MlflowRun, mlflowServer } from "./client.ts";
import { showsViews, viewTag } from "./experiment-view.ts";
import { noteWithSection } from "./run-note.ts";
import { trySelf } from "./self-test.ts";
import { MlflowSweep } from "./sweep.ts";
import { checkAllowed, findOrMakeRun, findUsersRun, parseTarget } from "./target.ts";
import { alertTag, artifactFolder, artifactPath, metricBatches, noteMarkdown } from "./transform.ts";

/** What the collector's own configuration says about an MLflow server. */
export interface MlflowConfig extends MlflowConnection {
  /** Names of the experiments that training jobs may reach; all where it is left out. */
  readonly experiments?: readonly string[] | undefined;
  /** False for a server that takes no artifacts: metrics and note alone. */
  readonly artifacts?: boolean | undefined;
  /** False leaves the experiments without the view "Noise scale" in the menu of MLflow's page. */
  readonly view?: boolean | undefined;
}

const noteTag = "mlflow.note.content";

/**
 * Pushes to an MLflow server, into the user's own run (`{"run_id"}`) or into one that it makes and finds again by its tag
 * (`{"experiment", "run_name"}`; the project and the run's name where they are left out).
 *
 * @throws RangeError where the configuration is wrong
 */
export function mlflowTracker(config: MlflowConfig): Tracker {
  const client = new MlflowClient(mlflowServer(config));
  const kind = "mlflow";
  const capabilities: TrackerCapabilities = {
    panels: config.artifacts === false ? [] : ["text/html", "image/png"],
    // MLflow's page shows a picture in a note at all its pixels, and one that is wider than the page widens all of it.
    picturePixelRatio: 1,
    note: true,
    alerts: true,
    panelData: false,
    pushEverySeconds: 10,
    pushPanelsEverySeconds: 60,
  };
  /** Experiments that were seen to have the view, or cannot have it. */
  const viewed = new Set<string>();
  return {
    kind,
    capabilities,
    async openRun(untrusted, context, opening): Promise<TrackerRun> {
      const target = parseTarget(untrusted);
      const isOurs = !("run_id" in target);
      const run = isOurs
        ? await findOrMakeRun(client.cutBy(opening), target, context, config.experiments)
        : await findUsersRun(client.cutBy(opening), target.run_id, config.experiments);
      const { run_id: runId, experiment_id: experimentId } = run.info;
      let closed = false;
      return {
        url: `${client.server}/#/experiments/${encodeURIComponent(experimentId)}/runs/${encodeURIComponent(runId)}`,
        // MLflow drops what it has already, so that a position need say no more than where the points went.
        async send(delivery, _position, signal): Promise<string> {
          if (closed) throw new TrackerError(`mlflow: the run ${runId} was closed.`, { retryable: false });
          checkDelivery({ kind, capabilities }, delivery);
          const calls = client.cutBy(signal);
          await deliver(calls, run, delivery, isOurs);
          if (config.view !== false && !viewed.has(experimentId)) {
            await addView(calls, experimentId);
            viewed.add(experimentId);
          }
          return runId;
        },
        async close(): Promise<void> {
          closed = true;
        },
      };
    },
    openSweep(experiment): MlflowSweep {
      checkAllowed(experiment, config.experiments);
      return new MlflowSweep(client, experiment);
    },
    selfTest: () => trySelf(client, config),
    async close(): Promise<void> {
      client.close();
    },
  };
}

/** Metrics first: where artifacts are refused, the numbers are there. The note last: it shows the pictures. */
async function deliver(client: MlflowClient, run: MlflowRun, delivery: Delivery, isOurs: boolean): Promise<void> {
  const runId = run.info.run_id;
  for (const metrics of metricBatches(delivery.points)) await client.logBatch(runId, metrics);
  for (const panel of delivery.panels) {
    await client.putArtifact(run, artifactPath(panel), panel.contentType, panel.bytes);
  }
  for (const alert of delivery.alerts ?? []) await client.setTag(runId, alertTag(alert));
  if (delivery.note !== undefined) await writeNote(client, run, delivery.note.markdown);
  if (delivery.ended !== undefined && isOurs) {
    const status = delivery.ended.outcome === "finished" ? "FINISHED" : "FAILED";
    await client.endRun(runId, status, delivery.ended.timeMs);
  }
}

/** Adds the view to the experiment's page, once. An account that may not change the experiment goes without. */
async function addView(client: MlflowClient, experimentId: string): Promise<void> {
  try {
    if (!showsViews((await client.version()) ?? "")) return;
    const tag = viewTag(Date.now());
    const { tags } = await client.getExperiment(experimentId);
    if (!tags.some(({ key }) => key === tag.key)) await client.setExperimentTag(experimentId, tag);
  } catch (error) {
    if (error instanceof TrackerError && !error.retryable) return;
    throw error;
  }
}

async function writeNote(client: MlflowClient, { info }: MlflowRun, markdown: string): Promise<void> {
  // Read just before it is written: the user may have edited it since.
  const { data } = await client.getRun(info.run_id);
  const existing = data.tags.find(({ key }) => key === noteTag)?.value ?? "";
  const artifacts = await client.listArtifacts(info.run_id, artifactFolder);
  const note = noteWithSection(existing, noteMarkdown(markdown, info.run_id, artifacts));
  if (note !== existing) await client.setTag(info.run_id, { key: noteTag, value: note });
}
