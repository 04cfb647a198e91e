import { stepsFactor, unitsFactor } from "@noisescale/statistics";
import type { LineLabel } from "../line-labels.ts";
import { logRange } from "../log-axis.ts";
import { numberText, timesText } from "../number-text.ts";
import { type PanelData, unitWords } from "../panel-data.ts";
import { lineDataset, type PanelConfiguration, type PanelDataset, panelFrame } from "../panel-frame.ts";
import type { Theme } from "../theme.ts";

const curvePoints = 80;
const margin = 6;

/** Panel 4: what another batch size costs, in steps and in units, as multiples of the least of each. */
export function tradePanel({ snapshot }: PanelData, theme: Theme): PanelConfiguration {
  const { batch_size: current } = snapshot;
  const { batch_size: recommended, critical_batch_size: noiseScale } = snapshot.recommendation;
  const centers = [noiseScale, current, recommended].filter((value) => value !== null);
  const range = logRange(
    centers.flatMap((center) => [center / margin, center * margin]),
    { min: 10, max: 10_000 },
  );
  const sizes = Array.from(
    { length: curvePoints },
    (_, index) => range.min * (range.max / range.min) ** (index / (curvePoints - 1)),
  );
  const steps = noiseScale === null ? [] : sizes.map((x) => ({ x, y: stepsFactor(x, noiseScale) }));
  const units = noiseScale === null ? [] : sizes.map((x) => ({ x, y: unitsFactor(x, noiseScale) }));
  const top = logRange(
    [...steps, ...units].map(({ y }) => y),
    { min: 1, max: 10 },
  ).max;
  const vertical = (x: number | null, color: string, dash: number[]): PanelDataset[] =>
    x === null
      ? []
      : [
          lineDataset(
            [
              { x, y: 1 },
              { x, y: top },
            ],
            color,
            { borderDash: dash },
          ),
        ];
  const labels: LineLabel[] = [];
  if (current !== null) {
    const align = recommended !== null && current > recommended ? "right" : "left";
    labels.push({ text: numberText(current), color: theme.ink, x: current, y: top, align, position: "below" });
  }
  if (recommended !== null && recommended !== current) {
    const align = current !== null && current > recommended ? "left" : "right";
    labels.push({
      text: numberText(recommended),
      color: theme.orange,
      x: recommended,
      y: top,
      align,
      position: "below",
    });
  }
  const early = steps[Math.floor(curvePoints * 0.12)];
  const late = units[Math.floor(curvePoints * 0.88)];
  if (early !== undefined) {
    labels.push({ text: "steps", color: theme.blue, ...early, align: "right", position: "above" });
  }
  if (late !== undefined) {
    labels.push({ text: unitWords[snapshot.unit], color: theme.green, ...late, align: "left", position: "above" });
  }
  return panelFrame(theme, {
    datasets: [
      ...vertical(current, theme.ink, [2, 3]),
      ...vertical(recommended, theme.orange, []),
      lineDataset(steps, theme.blue),
      lineDataset(units, theme.green),
    ],
    x: { kind: "log", title: `batch size [${unitWords[snapshot.unit]}]`, range },
    y: { kind: "log", title: "× least", range: { min: 1, max: top } },
    labels,
  });
}

export function tradeText({ snapshot }: PanelData): string {
  const { batch_size: current } = snapshot;
  const { batch_size: recommended, critical_batch_size: noiseScale } = snapshot.recommendation;
  if (noiseScale === null || current === null) return "What another batch size costs is not known yet.";
  const words = (batchSize: number): string =>
    `${numberText(batchSize)} takes ${timesText(stepsFactor(batchSize, noiseScale))} the least steps and ${timesText(unitsFactor(batchSize, noiseScale))} the least ${unitWords[snapshot.unit]}`;
  return `A batch of ${words(current)}${recommended === null || recommended === current ? "" : `; ${words(recommended)}`}.`;
}
