import type { MetricCurve, SweepReport, TrackerSweep } from "@noisescale/tracker";
import type { MlflowClient } from "./client.ts";
import { checkedExperiment } from "./target.ts";
import { artifactFolder, artifactPath, noteMarkdown } from "./transform.ts";

/** Marks the run that shows a frontier, so that it is found again and is no run of the sweep itself. */
const frontierTag = "noisescale.frontier";

/** An experiment whose runs are a sweep over batch sizes. */
export class MlflowSweep implements TrackerSweep {
  readonly #client: MlflowClient;
  readonly #experiment: string;

  /** @param experiment - its name, which the configuration allows */
  constructor(client: MlflowClient, experiment: string) {
    this.#client = client;
    this.#experiment = experiment;
  }

  async *curves(metric: string): AsyncIterable<MetricCurve> {
    const { experiment_id: id } = await checkedExperiment(this.#client, this.#experiment);
    for await (const run of this.#client.runsOf(id)) {
      if (run.tags.has(frontierTag)) continue;
      const { runId, name, params } = run;
      yield { id: runId, name, params, values: await this.#client.metricHistory(runId, metric) };
    }
  }

  async show(target: string, report: SweepReport): Promise<string> {
    const client = this.#client;
    const { experiment_id: id } = await checkedExperiment(client, this.#experiment);
    const nowMs = Date.now();
    const tag = { key: frontierTag, value: target };
    const shownBy = (await client.findRuns(id, tag)).find(({ info }) => info.lifecycle_stage === "active");
    const run = shownBy ?? (await client.createRun(id, report.name, nowMs, [tag]));
    const { run_id: runId } = run.info;
    await client.logBatch(
      runId,
      report.metrics.map(({ key, value }) => ({ key, value, timestamp: nowMs, step: 0 })),
    );
    for (const panel of report.panels) {
      await client.putArtifact(run, artifactPath(panel), panel.contentType, panel.bytes);
    }
    const artifacts = await client.listArtifacts(runId, artifactFolder);
    await client.setTag(runId, { key: "mlflow.note.content", value: noteMarkdown(report.note, runId, artifacts) });
    await client.endRun(runId, "FINISHED", nowMs);
    return `${client.server}/#/experiments/${encodeURIComponent(id)}/runs/${encodeURIComponent(runId)}`;
  }
}
