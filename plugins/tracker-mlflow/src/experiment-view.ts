import { createHash } from "node:crypto";
import { deflateSync } from "node:zlib";
import { metricKey } from "@noisescale/tracker";
import type { MlflowTag } from "./client.ts";

/** First version of MLflow whose page lists shared views by name; the format belongs to its page. */
const firstVersion = [3, 15] as const;

/** Longest value of an experiment's tag that MLflow takes [characters]. */
const longestTag = 20_000;

/** Metrics drawn together in one chart; the first one names it to MLflow. Those that a run has not are left out there. */
interface Chart {
  readonly keys: readonly [string, ...string[]];
  readonly scale: "linear" | "log";
}

const charts: readonly Chart[] = [
  {
    keys: [metricKey.bSimple, metricKey.bSimpleLow, metricKey.bSimpleHigh, metricKey.bNoise, metricKey.bPreconditioned],
    scale: "log",
  },
  { keys: [metricKey.batchSize, metricKey.recommendedBatchSize, metricKey.criticalBatchSize], scale: "log" },
  { keys: [metricKey.gradientSquaredNorm], scale: "log" },
  { keys: [metricKey.covarianceTrace], scale: "log" },
  { keys: [metricKey.efficiency], scale: "linear" },
];

const section = "noise_scale";

/** Whether a server's page shows a view that was pushed. @param version - as `GET /version` answers it */
export function showsViews(version: string): boolean {
  const [, major = "0", minor = "0"] = /^(\d+)\.(\d+)/.exec(version) ?? [];
  return Number(major) > firstVersion[0] || (Number(major) === firstVersion[0] && Number(minor) >= firstVersion[1]);
}

/**
 * The tag of an experiment that puts a view "Noise scale" into the menu of its page: the charts of all its runs, in a
 * section of their own. Named by its content, so that another version of the plugin adds its own and overwrites none.
 */
export function viewTag(nowMs: number): MlflowTag {
  const drawn = charts.map(({ keys, scale }) => ({
    type: "LINE",
    uuid: identifier(`chart ${keys[0]}`),
    metricSectionId: identifier("section"),
    metricKey: keys[0],
    selectedMetricKeys: keys,
    scaleType: scale,
    xAxisKey: "step",
    useGlobalXaxisKey: false,
    lineSmoothness: 0,
    useGlobalLineSmoothing: false,
    runsCountToCompare: 10,
    isGenerated: false,
    deleted: false,
  }));
  // MLflow's page adds a chart for every metric that has none: those that are drawn above are marked as removed.
  const drawnTogether = charts.flatMap(({ keys: [, ...others] }) =>
    others.map((key) => ({
      type: "LINE",
      uuid: identifier(`removed ${key}`),
      metricSectionId: identifier("section"),
      metricKey: key,
      isGenerated: false,
      deleted: true,
    })),
  );
  const state = {
    compareRunSections: [
      {
        uuid: identifier("section"),
        name: section,
        display: true,
        isReordered: true,
        deleted: false,
        isGenerated: false,
      },
    ],
    compareRunCharts: [...drawn, ...drawnTogether],
    isAccordionReordered: true,
  };
  const text = JSON.stringify(state);
  const value = JSON.stringify({
    name: "Noise scale",
    createdAt: nowMs,
    updatedAt: nowMs,
    state: `deflate;${deflateSync(text).toString("base64")}`,
  });
  if (value.length > longestTag) throw new RangeError(`the view has ${value.length} characters`);
  return { key: `mlflow.sharedViewState.noise-scale-${identifier(text).slice(0, 8)}`, value };
}

/** The same for the same words: MLflow's page tells sections and charts apart by them. */
function identifier(words: string): string {
  return createHash("sha256").update(`noise_scale ${words}`).digest("hex").slice(0, 32);
}
