import type { PanelFile } from "@noisescale/tracker";
import { MlflowClient, type MlflowConnection, type MlflowSweepRun } from "./client.ts";
import { checkAllowed, checkedExperiment } from "./target.ts";
import { artifactFolder, artifactPath, noteMarkdown } from "./transform.ts";

/** A run of an experiment, read at one metric. */
export interface MetricCurve extends MlflowSweepRun {
  /** In order of step; empty where the run never logged the metric. */
  readonly values: readonly { readonly step: number; readonly value: number }[];
}

/** What is pushed back: one run that shows the fitted frontier. */
export interface SweepReport {
  readonly name: string;
  /** Markdown. */
  readonly note: string;
  readonly metrics: readonly { readonly key: string; readonly value: number }[];
  readonly panels: readonly PanelFile[];
}

/** Marks the run that shows a frontier, so that it is found again and is no run of the sweep itself. */
const frontierTag = "noisescale.frontier";

/** An experiment whose runs are a sweep over batch sizes. */
export class MlflowSweep {
  readonly #client: MlflowClient;
  readonly #experiment: string;

  /**
   * @param config - as the tracker's
   * @param experiment - its name
   * @throws TrackerError where the configuration does not let it be read; RangeError where it is wrong
   */
  constructor(config: MlflowConnection & { readonly experiments?: readonly string[] | undefined }, experiment: string) {
    checkAllowed(experiment, config.experiments);
    this.#client = new MlflowClient(config);
    this.#experiment = experiment;
  }

  /** Every run of the experiment with one of its metrics. @throws TrackerError where there is no such experiment */
  async *curves(metric: string): AsyncIterable<MetricCurve> {
    const { experiment_id: id } = await checkedExperiment(this.#client, this.#experiment);
    for await (const run of this.#client.runsOf(id)) {
      if (run.tags.has(frontierTag)) continue;
      yield { ...run, values: await this.#client.metricHistory(run.runId, metric) };
    }
  }

  /**
   * Shows a frontier as a run of the experiment: made once for a target, its numbers and pictures replaced afterwards.
   *
   * @param target - for example `loss<=0.3`
   * @returns the run's address
   */
  async show(target: string, report: SweepReport): Promise<string> {
    const client = this.#client;
    const { experiment_id: id } = await checkedExperiment(client, this.#experiment);
    const nowMs = Date.now();
    const shownBy = await this.#runShowing(id, target);
    const run =
      shownBy === undefined
        ? await client.createRun(id, report.name, nowMs, [{ key: frontierTag, value: target }])
        : await client.getRun(shownBy);
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

  close(): void {
    this.#client.close();
  }

  async #runShowing(experimentId: string, target: string): Promise<string | undefined> {
    for await (const { runId, tags } of this.#client.runsOf(experimentId)) {
      if (tags.get(frontierTag) === target) return runId;
    }
    return undefined;
  }
}
