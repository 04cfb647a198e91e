import type { LineLabel } from "../line-labels.ts";
import { type LogRange, logRange } from "../log-axis.ts";
import { numberText } from "../number-text.ts";
import { type PanelData, type PanelSeries, type SeriesColumnName, unitWords } from "../panel-data.ts";
import { bandDatasets, lineDataset, type PanelConfiguration, type PanelPoint, panelFrame } from "../panel-frame.ts";
import type { Theme } from "../theme.ts";

/** Upper bounds this far above everything else run off the top, as unbounded ones do. */
const tallest = 20;

export function pointsOf(series: PanelSeries, column: SeriesColumnName): PanelPoint[] {
  const values = series.columns[column] ?? [];
  return series.step.map((x, index) => ({ x, y: values[index] ?? null }));
}

/** Panel 1: B_simple with its interval, the current and the recommended batch size, and the group's other runs behind. */
export function noiseScalePanel(data: PanelData, theme: Theme): PanelConfiguration {
  const { series, overlay = [] } = data;
  const middle = pointsOf(series, "b_simple");
  const low = pointsOf(series, "b_simple_low");
  const high = pointsOf(series, "b_simple_high");
  const current = pointsOf(series, "batch_size");
  const recommended = pointsOf(series, "recommended_batch_size");
  const others = overlay.map((run) => ({ name: run.name, points: pointsOf(run.series, "b_simple") }));
  const range = verticalRange([middle, low, current, recommended, ...others.map(({ points }) => points)], high);
  const beyond = range.max * 10;
  const upper = high.map(({ x, y }, index) => ({
    x,
    y: low[index]?.y === null ? null : Math.min(y ?? beyond, beyond),
  }));
  const steps = [series, ...overlay.map((run) => run.series)].flatMap(({ step }) => [step[0] ?? 0, step.at(-1) ?? 1]);
  const labels: LineLabel[] = [
    ...endLabel(middle, "B_simple", theme.blue, "above"),
    ...endLabel(recommended, lastText("recommended", recommended), theme.orange, "below"),
    ...endLabel(current, lastText("batch", current), theme.ink, "below"),
    ...others.flatMap(({ name, points }) => endLabel(points, shorten(name), theme.muted, "above")),
  ];
  return panelFrame(theme, {
    datasets: [
      lineDataset(middle, theme.blue),
      lineDataset(recommended, theme.orange, { stepped: "before" }),
      lineDataset(current, theme.ink, { borderDash: [2, 3], stepped: "before" }),
      ...others.map(({ points }) => lineDataset(points, theme.muted, { borderWidth: 1.25 })),
      ...bandDatasets(low, upper, theme.blueBand),
    ],
    x: { kind: "linear", title: "step", min: Math.min(...steps), max: Math.max(...steps, Math.min(...steps) + 1) },
    y: { kind: "log", title: unitWords[data.snapshot.unit], range },
    labels,
  });
}

export function noiseScaleText({ snapshot }: PanelData): string {
  const units = unitWords[snapshot.unit];
  const { b_simple: value, b_simple_low: low, b_simple_high: high } = snapshot;
  const at = snapshot.step === null ? "" : ` at step ${numberText(snapshot.step)}`;
  if (value !== null && low !== null && high !== null) {
    return `B_simple${at} is ${numberText(value)} ${units}, 95 % between ${numberText(low)} and ${numberText(high)}.`;
  }
  if (low !== null) return `B_simple${at} is not identifiable: at least ${numberText(low)} ${units}.`;
  return "B_simple is not known yet.";
}

function verticalRange(lines: readonly PanelPoint[][], high: readonly PanelPoint[]): LogRange {
  const values = lines.flatMap((points) => points.map(({ y }) => y));
  const inner = logRange(values, { min: 1, max: 1000 });
  const bounded = high.map(({ y }) => (y === null ? null : Math.min(y, inner.max * tallest)));
  return logRange([...values, ...bounded], { min: 1, max: 1000 });
}

function endLabel(
  points: readonly PanelPoint[],
  text: string,
  color: string,
  position: LineLabel["position"],
): LineLabel[] {
  const last = points.findLast(({ y }) => y !== null);
  if (last === undefined || last.y === null) return [];
  return [{ text, color, x: last.x, y: last.y, align: "left", position }];
}

function lastText(word: string, points: readonly PanelPoint[]): string {
  const last = points.findLast(({ y }) => y !== null);
  return last?.y === null || last === undefined ? word : `${word} ${numberText(last.y)}`;
}

function shorten(name: string): string {
  return name.length > 24 ? `${name.slice(0, 23)}…` : name;
}
