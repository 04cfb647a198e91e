import { adaptiveBatchSize, scheduleCost, stepsFactor, unitsFactor } from "@noisescale/statistics";
import { logRange } from "../log-axis.ts";
import { estimateText, numberText, squareText, timesText } from "../number-text.ts";
import { type PanelData, unitWords } from "../panel-data.ts";
import { bandDatasets, lineDataset, type PanelConfiguration, type PanelPoint, panelFrame } from "../panel-frame.ts";
import { noiseScaleName } from "../recommendation-words.ts";
import type { Theme } from "../theme.ts";
import { endLabel, pointsOf, stepAxis } from "./step-series.ts";

/** Upper bounds this far above everything else run off the top, as unbounded ones do. */
const tallest = 20;

/** r: a step's latency over a unit's cost, as the run declares it; otherwise the batch at which both cost the same. */
export function latencyRatioOf({ recommendation, predicted }: PanelData["snapshot"]): number | null {
  const ratio = recommendation.latency_ratio ?? predicted.critical_batch_size;
  return ratio !== null && ratio > 0 ? ratio : null;
}

/** Panel 7: the batch size that would have cost the least along this run, beside the one that was run. */
export function schedulePanel({ snapshot, series }: PanelData, theme: Theme): PanelConfiguration {
  const ratio = latencyRatioOf(snapshot);
  const critical = snapshot.predicted.critical_batch_size;
  const { basis } = snapshot.predicted;
  const scheduled = (end: "" | "_low" | "_high"): PanelPoint[] =>
    pointsOf(series, `${basis}${end}`).map(({ x, y }) => ({
      x,
      y: y === null || ratio === null ? null : adaptiveBatchSize(y, ratio),
    }));
  const [middle, low, high] = [scheduled(""), scheduled("_low"), scheduled("_high")];
  const current = pointsOf(series, "batch_size");
  const x = stepAxis([series]);
  const fixed = ratio === null || critical === null ? null : adaptiveBatchSize(critical, ratio);
  const level = fixed === null ? [] : [x.min, x.max].map((step) => ({ x: step, y: fixed }));
  const values = [...middle, ...low, ...current, ...level].map(({ y }) => y);
  const inner = logRange(values, { min: 1, max: 1000 });
  const range = logRange([...values, ...high.map(({ y }) => Math.min(y ?? 0, inner.max * tallest))], inner);
  const beyond = range.max * 10;
  const upper = high.map((point, index) => ({
    x: point.x,
    y: low[index]?.y === null ? null : Math.min(point.y ?? beyond, beyond),
  }));
  const now = middle.findLast(({ y }) => y !== null)?.y ?? null;
  const batch = snapshot.batch_size;
  return panelFrame(theme, {
    datasets: [
      lineDataset(middle, theme.orange),
      lineDataset(current, theme.ink, { borderDash: [2, 3], stepped: "before" }),
      lineDataset(level, theme.orange, { borderDash: [8, 5], borderWidth: 1.25 }),
      ...bandDatasets(low, upper, theme.orangeBand),
    ],
    x,
    y: { kind: "log", title: `batch size, ${unitWords[snapshot.unit]}`, range },
    labels: [
      ...endLabel(middle, now === null ? "adaptive" : `adaptive ${estimateText(now)}`, theme.orange, "above"),
      ...endLabel(current, batch === null ? "batch" : `batch ${numberText(batch)}`, theme.ink, "below"),
      ...(fixed === null
        ? []
        : [
            {
              text: `one size ${estimateText(fixed)}`,
              color: theme.orange,
              x: x.min,
              y: fixed,
              align: "right" as const,
              position: "below" as const,
            },
          ]),
    ],
  });
}

export function scheduleSubtitle({ snapshot }: PanelData): string {
  const { adaptive_gain: gain, basis } = snapshot.predicted;
  const ratio = latencyRatioOf(snapshot);
  const numbers = ratio === null || gain === null ? "" : `, r = ${estimateText(ratio)}, γ = ${gain.toFixed(2)}`;
  return `√(r·${noiseScaleName(basis)}) along this run${numbers}; dashed: the best single size`;
}

export function scheduleText({ snapshot }: PanelData): string {
  const { critical_batch_size: critical, adaptive_gain: gain } = snapshot.predicted;
  const ratio = latencyRatioOf(snapshot);
  if (ratio === null || critical === null || gain === null) return "No schedule can be predicted yet.";
  const units = unitWords[snapshot.unit];
  const adaptive = scheduleCost(gain, critical, ratio);
  const fixed = scheduleCost(1, critical, ratio);
  if (!(fixed.stepsFactor < Number.POSITIVE_INFINITY && fixed.unitsFactor < Number.POSITIVE_INFINITY)) {
    return `No schedule can be predicted: r = ${estimateText(ratio)} is beyond any multiple of the critical batch size, ${squareText(critical)}.`;
  }
  const saved = {
    steps: 1 - adaptive.stepsFactor / fixed.stepsFactor,
    units: 1 - adaptive.unitsFactor / fixed.unitsFactor,
  };
  const batch = snapshot.batch_size;
  const now =
    batch === null
      ? ""
      : ` ${numberText(batch)} throughout takes ${timesText(stepsFactor(batch, critical))} and ${timesText(unitsFactor(batch, critical))}.`;
  return `A batch that follows the noise scale takes ${timesText(adaptive.stepsFactor)} the least steps and ${timesText(adaptive.unitsFactor)} the least ${units}: ${percent(saved.steps)} and ${percent(saved.units)} fewer than the best single size, ${estimateText(adaptiveBatchSize(critical, ratio))}.${now}`;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}
