import { metricKey } from "@noisescale/tracker";
import { stepKey } from "./transform.ts";

/** The saved view of a project that shows the noise scale; W&B's own names have this form. */
export const workspaceView = { name: "nw-noisescale-v", displayName: "Noise scale" } as const;

const charts: readonly { readonly title: string; readonly metrics: readonly string[]; readonly log: boolean }[] = [
  {
    title: "Noise scale B_simple and its interval",
    metrics: [metricKey.bSimple, metricKey.bSimpleLow, metricKey.bSimpleHigh],
    log: true,
  },
  {
    title: "Batch size: in use and recommended",
    metrics: [metricKey.batchSize, metricKey.recommendedBatchSize],
    log: true,
  },
  {
    title: "Noise scale in other metrics: B_noise, Adam's",
    metrics: [metricKey.bNoise, metricKey.bPreconditioned],
    log: true,
  },
  { title: "Critical batch size, predicted", metrics: [metricKey.criticalBatchSize], log: true },
  { title: "Signal: squared norm of the gradient", metrics: [metricKey.gradientSquaredNorm], log: true },
  { title: "Noise: trace of the covariance", metrics: [metricKey.covarianceTrace], log: true },
  { title: "Efficiency: useful share of the compute", metrics: [metricKey.efficiency], log: false },
];
/** Panels that W&B shows as pages, in their order. */
const mediaKeys = [
  "noise-scale",
  "frontier",
  "trade",
  "schedule",
  "signal-and-noise",
  "loss",
  "learning-rate",
  "alerts",
  "layers",
].map((panel) => `noise_scale/panel/${panel}`);

/**
 * The view's content, as the model of the package `wandb-workspaces` 0.4.13 reads it. Charts of the metrics
 * over the training's step, then the panels as pages.
 */
export function workspaceSpec(): object {
  const lines = charts.map(({ title, metrics, log }) => ({
    viewType: "Run History Line Plot",
    config: { chartTitle: title, xAxis: stepKey, metrics, ...(log ? { yLogScale: true } : {}) },
  }));
  const media = { viewType: "Media Browser", config: { chartTitle: "Panels", mediaKeys } };
  const panels = [...lines, media].map((panel, i) => ({
    __id__: `noisescale${i}`,
    layout: { x: 0, y: 0, w: 8, h: 6 },
    ...panel,
  }));
  return {
    section: {
      panelBankConfig: {
        state: 1,
        settings: { autoOrganizePrefix: 2, showEmptySections: false, sortAlphabetically: false },
        sections: [section("Noise scale", "flow", panels)],
      },
      panelBankSectionConfig: section("Report Panels", "grid", []),
      customRunColors: {},
      name: "",
      runSets: [
        {
          id: "",
          name: "Run set",
          enabled: true,
          runFeed: {
            version: 2,
            columnVisible: {},
            columnPinned: {},
            columnWidths: {},
            columnOrder: [],
            pageSize: 10,
            onlyShowSelected: false,
          },
          search: { query: "" },
          filters: { filterFormat: "filterV2", filters: [] },
          grouping: [],
          sort: { keys: [{ key: { section: "run", name: "createdAt" }, ascending: false }] },
          selections: { root: 1, bounds: [], tree: [] },
          expandedRowAddresses: [],
        },
      ],
      settings: { ...settings, maxRuns: 10, shouldAutoGeneratePanels: false },
      openRunSet: 0,
      openViz: true,
    },
    vizExpanded: false,
    libraryExpanded: true,
  };
}

const settings = {
  smoothingWeight: 0,
  smoothingType: "none",
  xAxis: "_step",
  ignoreOutliers: false,
  useRunsTableGroupingInPanels: true,
  smoothingActive: false,
  xAxisActive: false,
} as const;

function section(name: string, type: "flow" | "grid", panels: readonly object[]): object {
  return {
    name,
    isOpen: panels.length > 0,
    type,
    flowConfig: {
      snapToColumns: true,
      columnsPerPage: 2,
      rowsPerPage: 4,
      gutterWidth: 16,
      boxWidth: 460,
      boxHeight: 300,
    },
    sorted: 0,
    localPanelSettings: settings,
    panels,
    pinned: false,
  };
}
