import type { PanelFile, Point, TrackerAlert } from "@noisescale/tracker";
import type { MlflowMetric, MlflowTag } from "./client.ts";

/** MLflow refuses a call with more. 1000 keys of 250 characters are some 350 kB, so that its limit of 1 MB is far. */
const metricsPerCall = 1000;

/** Folder of a run's artifacts that the collector writes to. */
export const artifactFolder = "noise_scale";

/** Points as the calls of `log-batch` take them, in their order. */
export function metricBatches(points: readonly Point[]): MlflowMetric[][] {
  const metrics = points.map(({ key, value, timeMs, step }) => ({ key, value, timestamp: timeMs, step }));
  return Array.from({ length: Math.ceil(metrics.length / metricsPerCall) }, (_, call) =>
    metrics.slice(call * metricsPerCall, (call + 1) * metricsPerCall),
  );
}

/** An alert as a tag, which MLflow can search for: one a rule, with its last alert. */
export function alertTag({ rule, title, text, link, step }: TrackerAlert): MlflowTag {
  const lines = [title, text, `step ${step}`, ...(link === undefined ? [] : [link])];
  return { key: `noise_scale.alert.${rule}`, value: lines.join("\n") };
}

/** Path of a panel among the run's artifacts. */
export function artifactPath(panel: Pick<PanelFile, "panel" | "contentType">): string {
  return `${artifactFolder}/${panel.panel}.${panel.contentType === "image/png" ? "png" : "html"}`;
}

/** The panel that the others explain: its picture is the first below the note's words. */
function isHeadline(path: string): boolean {
  return path === artifactPath({ panel: "noise-scale", contentType: "image/png" });
}

/** The note with the run's own pictures below it: MLflow's page loads artifacts of the run, and no other images. */
export function noteMarkdown(markdown: string, runId: string, artifacts: readonly string[]): string {
  const pictures = artifacts
    .filter((path) => path.endsWith(".png"))
    .sort((one, other) => Number(isHeadline(other)) - Number(isHeadline(one)))
    .map((path) => {
      const name = path.replace(`${artifactFolder}/`, "").replace(".png", "");
      return `![${name}](get-artifact?${new URLSearchParams({ path, run_uuid: runId })})`;
    });
  return [markdown, ...pictures].join("\n\n");
}
