import { type PanelData, type SeriesColumnName, unitWords } from "./panel-data.ts";
import type { PanelConfiguration } from "./panel-frame.ts";
import { alertsPanel, alertsText } from "./panels/alerts.ts";
import { frontierPanel, frontierText } from "./panels/frontier.ts";
import { layersPanel, layersSubtitle, layersText } from "./panels/layers.ts";
import {
  hasLearningRate,
  learningRateMissing,
  learningRatePanel,
  learningRateSubtitle,
  learningRateText,
} from "./panels/learning-rate.ts";
import { hasLoss, lossMissing, lossPanel, lossText } from "./panels/loss.ts";
import { noiseScalePanel, noiseScaleSubtitle, noiseScaleText } from "./panels/noise-scale.ts";
import { latencyRatioOf, schedulePanel, scheduleSubtitle, scheduleText } from "./panels/schedule.ts";
import { signalAndNoisePanel, signalAndNoiseText } from "./panels/signal-and-noise.ts";
import { tradePanel, tradeText } from "./panels/trade.ts";
import { basisName, noiseScaleName } from "./recommendation-words.ts";
import type { Theme } from "./theme.ts";

/** In the order of the page: what to do, what that rests on, how it came about. */
export const panelNames = [
  "noise-scale",
  "frontier",
  "trade",
  "schedule",
  "signal-and-noise",
  "loss",
  "learning-rate",
  "alerts",
  "layers",
] as const;

/** What of the data a panel may draw. */
export type PanelSource = "series" | "snapshot" | "alerts";

export type PanelName = (typeof panelNames)[number];

interface Panel {
  readonly title: string;
  /** What of the data is drawn: a live page draws anew only what has changed. */
  readonly drawsFrom: readonly PanelSource[];
  readonly subtitle: (data: PanelData) => string;
  readonly configuration: (data: PanelData, theme: Theme) => PanelConfiguration;
  readonly text: (data: PanelData) => string;
  /** Why there is nothing to draw; undefined where there is. */
  readonly missing: (data: PanelData) => string | undefined;
}

const firstWarning = ({ snapshot }: PanelData, otherwise: string): string => snapshot.warnings[0]?.message ?? otherwise;

/** Undefined where one of the columns has a value to draw. */
const noValues =
  (...columns: readonly SeriesColumnName[]) =>
  (data: PanelData): string | undefined => {
    const drawn = [data.series, ...(data.overlay ?? []).map(({ series }) => series)];
    const known = drawn.some(({ columns: values }) =>
      columns.some((column) => values[column]?.some((y) => y !== null)),
    );
    if (known) return undefined;
    return data.series.step.length === 0 ? "No measurement has come yet." : firstWarning(data, "Nothing is known yet.");
  };

const panels: Readonly<Record<PanelName, Panel>> = {
  "noise-scale": {
    title: "Noise scale",
    drawsFrom: ["series"],
    subtitle: noiseScaleSubtitle,
    configuration: noiseScalePanel,
    text: noiseScaleText,
    missing: noValues("b_simple", "b_simple_low"),
  },
  frontier: {
    title: "Time against compute",
    drawsFrom: ["snapshot"],
    subtitle: ({ snapshot }) =>
      `predicted from this run's ${noiseScaleName(snapshot.predicted.basis)}, with outer bounds; in the ring both are twice the least`,
    configuration: frontierPanel,
    text: frontierText,
    missing: (data) =>
      data.snapshot.predicted.critical_batch_size === null
        ? firstWarning(data, "The frontier cannot be predicted yet.")
        : undefined,
  },
  trade: {
    title: "What another batch size costs",
    drawsFrom: ["snapshot"],
    subtitle: ({ snapshot }) =>
      `multiples of the least steps and the least ${unitWords[snapshot.unit]}, at ${basisName(snapshot.recommendation)}`,
    configuration: tradePanel,
    text: tradeText,
    missing: (data) =>
      data.snapshot.recommendation.critical_batch_size === null
        ? firstWarning(data, "What another batch size costs is not known yet.")
        : undefined,
  },
  schedule: {
    title: "Adaptive schedule",
    drawsFrom: ["series", "snapshot"],
    subtitle: scheduleSubtitle,
    configuration: schedulePanel,
    text: scheduleText,
    missing: (data) =>
      latencyRatioOf(data.snapshot) === null || data.snapshot.predicted.adaptive_gain === null
        ? firstWarning(data, "No schedule can be predicted yet.")
        : undefined,
  },
  "signal-and-noise": {
    title: "Signal and noise",
    drawsFrom: ["series"],
    subtitle: () => "|G|² and tr Σ, averaged apart",
    configuration: signalAndNoisePanel,
    text: signalAndNoiseText,
    missing: noValues("gradient_squared_norm", "covariance_trace"),
  },
  loss: {
    title: "Power law of the loss",
    drawsFrom: ["series"],
    subtitle: () => "B_simple against the loss, a dot a part of this run; dashed: the power law through them",
    configuration: lossPanel,
    text: lossText,
    missing: lossMissing,
  },
  "learning-rate": {
    title: "Learning rate and temperature",
    drawsFrom: ["series", "snapshot"],
    subtitle: learningRateSubtitle,
    configuration: learningRatePanel,
    text: learningRateText,
    missing: learningRateMissing,
  },
  layers: {
    title: "Layers",
    drawsFrom: ["snapshot"],
    subtitle: layersSubtitle,
    configuration: layersPanel,
    text: layersText,
    missing: (data) => (hasLayers(data) ? undefined : "The hook does not measure layers: turn them on with `layers`."),
  },
  alerts: {
    title: "Alerts",
    drawsFrom: ["series", "alerts"],
    subtitle: () => "a mark where one was raised, a bar while it lasted, thick where it lasts; blue: for information",
    configuration: alertsPanel,
    text: alertsText,
    missing: ({ alerts = [] }) => (alerts.length === 0 ? "No alert was raised." : undefined),
  },
};

function hasLayers({ snapshot }: PanelData): boolean {
  return Object.keys(snapshot.layers ?? {}).length > 0;
}

/** The panels that a run has: those of its loss, learning rate, layers and alerts only where there are any. */
export function panelsOf(data: PanelData): readonly PanelName[] {
  const reported: Readonly<Partial<Record<PanelName, boolean>>> = {
    loss: hasLoss(data.series),
    "learning-rate": hasLearningRate(data.series),
    layers: hasLayers(data),
    alerts: (data.alerts ?? []).length > 0,
  };
  return panelNames.filter((panel) => reported[panel] ?? true);
}

/** What of the data a panel draws. */
export function panelDrawsFrom(panel: PanelName): readonly PanelSource[] {
  return panels[panel].drawsFrom;
}

export function isPanelName(name: string): name is PanelName {
  return panelNames.some((panel) => panel === name);
}

export function panelTitle(panel: PanelName): string {
  return panels[panel].title;
}

/** A line that says what is drawn. */
export function panelSubtitle(panel: PanelName, data: PanelData): string {
  return panels[panel].subtitle(data);
}

/** A panel as a Chart.js configuration; the same one makes the page, the HTML file and the picture. */
export function panelConfiguration(panel: PanelName, data: PanelData, theme: Theme): PanelConfiguration {
  return panels[panel].configuration(data, theme);
}

/** The panel's numbers in words, for readers who do not see it. */
export function panelText(panel: PanelName, data: PanelData): string {
  return panels[panel].text(data);
}

/** Why the panel has nothing to draw yet; undefined where it has. */
export function panelMissing(panel: PanelName, data: PanelData): string | undefined {
  return panels[panel].missing(data);
}
