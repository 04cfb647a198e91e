import { logRange } from "../log-axis.ts";
import { squareText } from "../number-text.ts";
import type { PanelData } from "../panel-data.ts";
import { lineDataset, type PanelConfiguration, type PanelPoint, panelFrame } from "../panel-frame.ts";
import type { Theme } from "../theme.ts";
import { endLabel, pointsOf, stepAxis } from "./step-series.ts";

/** Panel 2: |G|² and tr Σ, averaged apart. A value ≤ 0 has no place on a log axis: a gap. */
export function signalAndNoisePanel({ series }: PanelData, theme: Theme): PanelConfiguration {
  const signal = positive(pointsOf(series, "gradient_squared_norm"));
  const noise = positive(pointsOf(series, "covariance_trace"));
  const labels = [
    ...endLabel(noise, "noise tr Σ", theme.orange, "above"),
    ...endLabel(signal, "signal |G|²", theme.blue, "above"),
  ];
  return panelFrame(theme, {
    datasets: [lineDataset(signal, theme.blue), lineDataset(noise, theme.orange)],
    x: stepAxis([series]),
    y: {
      kind: "log",
      title: "gradient²",
      range: logRange(
        [...signal, ...noise].map(({ y }) => y),
        { min: 0.1, max: 10 },
      ),
    },
    labels,
  });
}

export function signalAndNoiseText({ snapshot }: PanelData): string {
  const { gradient_squared_norm: signal, covariance_trace: noise } = snapshot;
  if (signal === null || noise === null) return "|G|² and tr Σ are not known yet.";
  return `tr Σ is ${squareText(noise)}, averaged over some hundred measurements, and |G|² is ${squareText(signal)}: tr Σ over B_simple.`;
}

function positive(points: readonly PanelPoint[]): PanelPoint[] {
  return points.map(({ x, y }) => ({ x, y: y !== null && y > 0 ? y : null }));
}
