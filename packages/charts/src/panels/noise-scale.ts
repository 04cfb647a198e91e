import type { LineLabel } from "../line-labels.ts";
import { type LogRange, logRange } from "../log-axis.ts";
import { estimateText, numberText } from "../number-text.ts";
import { type PanelData, unitWords } from "../panel-data.ts";
import { bandDatasets, lineDataset, type PanelConfiguration, type PanelPoint, panelFrame } from "../panel-frame.ts";
import { metricName } from "../recommendation-words.ts";
import type { Theme } from "../theme.ts";
import { endLabel, pointsOf, stepAxis } from "./step-series.ts";

/** Upper bounds this far above everything else run off the top, as unbounded ones do. */
const tallest = 20;
/** Room above a lower bound without an upper one. */
const headroom = 4;
const noRange: LogRange = { min: 1, max: 1000 };

/**
 * Panel 1: B_simple with its interval, B_noise and the noise scale in the optimizer's metric where they are measured, the
 * current and the recommended batch size, and the group's other runs behind.
 */
export function noiseScalePanel(data: PanelData, theme: Theme): PanelConfiguration {
  const { series, overlay = [] } = data;
  const middle = pointsOf(series, "b_simple");
  const low = pointsOf(series, "b_simple_low");
  const high = pointsOf(series, "b_simple_high");
  const noise = pointsOf(series, "b_noise");
  const preconditioned = pointsOf(series, "b_preconditioned");
  const current = pointsOf(series, "batch_size");
  const recommended = pointsOf(series, "recommended_batch_size");
  const others = overlay.map((run) => ({ name: run.name, points: pointsOf(run.series, "b_simple") }));
  const lines = [middle, noise, preconditioned, current, recommended, ...others.map(({ points }) => points)];
  const range = verticalRange(lines, low, high);
  const beyond = range.max * 10;
  const upper = high.map(({ x, y }, index) => ({
    x,
    y: low[index]?.y === null ? null : Math.min(y ?? beyond, beyond),
  }));
  const labels: LineLabel[] = [
    ...endLabel(middle, "B_simple", theme.blue, "above"),
    ...endLabel(noise, "B_noise", theme.blue, "above"),
    ...endLabel(preconditioned, metricName(data.snapshot), theme.blue, "above"),
    ...endLabel(recommended, currentText("recommended", recommended), theme.orange, "below"),
    ...endLabel(current, currentText("batch", current), theme.ink, "below"),
    ...others.flatMap(({ name, points }) => endLabel(points, shorten(name), theme.muted, "above")),
  ];
  return panelFrame(theme, {
    datasets: [
      lineDataset(middle, theme.blue),
      ...[
        { points: noise, borderDash: [8, 4] },
        { points: preconditioned, borderDash: [2, 4] },
      ].flatMap(({ points, borderDash }) =>
        points.some(({ y }) => y !== null) ? [lineDataset(points, theme.blue, { borderDash, borderWidth: 1.75 })] : [],
      ),
      lineDataset(recommended, theme.orange, { stepped: "before" }),
      lineDataset(current, theme.ink, { borderDash: [2, 3], stepped: "before" }),
      ...others.map(({ points }) => lineDataset(points, theme.behind, { borderWidth: 1.25 })),
      ...bandDatasets(low, upper, theme.blueBand),
    ],
    x: stepAxis([series, ...overlay.map((run) => run.series)]),
    y: { kind: "log", title: unitWords[data.snapshot.unit], range },
    labels,
  });
}

export function noiseScaleText({ snapshot, overlay = [] }: PanelData): string {
  return [ownText(snapshot), ...formTexts(snapshot), ...(overlay.length === 0 ? [] : [overlayText(overlay)])].join(" ");
}

/** B_noise and the optimizer's metric, where they are known. */
function formTexts(snapshot: PanelData["snapshot"]): string[] {
  const forms = [
    {
      name: "B_noise, which weighs the noise by the curvature,",
      value: snapshot.b_noise,
      low: snapshot.b_noise_low,
      high: snapshot.b_noise_high,
    },
    {
      name: `In ${metricName(snapshot)} it`,
      value: snapshot.b_preconditioned,
      low: snapshot.b_preconditioned_low,
      high: snapshot.b_preconditioned_high,
    },
  ];
  return forms.flatMap(({ name, value, low, high }) =>
    value === null || low === null || high === null
      ? []
      : [`${name} is ${estimateText(value)}, 95 % between ${estimateText(low)} and ${estimateText(high)}.`],
  );
}

/** What the panel draws, for its subtitle: the lines beside B_simple only where they are there. */
export function noiseScaleSubtitle({ snapshot, series }: PanelData): string {
  const drawn = (column: "b_noise" | "b_preconditioned") => series.columns[column]?.some((value) => value !== null);
  const more = [
    ...(drawn("b_noise") ? ["dashed: B_noise"] : []),
    ...(drawn("b_preconditioned") ? [`dotted: in ${metricName(snapshot)}`] : []),
  ];
  const gaps = more.length === 0 ? ["where the line stops, only the lower bound is known"] : [];
  return ["B_simple with its 95 % interval", ...gaps, ...more].join("; ");
}

function overlayText(overlay: NonNullable<PanelData["overlay"]>): string {
  const runs = overlay.map(({ name, series }) => {
    const last = pointsOf(series, "b_simple").findLast(({ y }) => y !== null);
    return `${shorten(name)} ${last?.y === undefined || last.y === null ? "not known" : estimateText(last.y)}`;
  });
  return `Behind it, where each was last known: ${runs.join(", ")}.`;
}

function ownText(snapshot: PanelData["snapshot"]): string {
  const units = unitWords[snapshot.unit];
  const { b_simple: value, b_simple_low: low, b_simple_high: high } = snapshot;
  const at = snapshot.step === null ? "" : ` at step ${numberText(snapshot.step)}`;
  if (value !== null && low !== null && high !== null) {
    return `B_simple${at} is ${estimateText(value)} ${units}, 95 % between ${estimateText(low)} and ${estimateText(high)}.`;
  }
  if (low !== null) return `B_simple${at} is not identifiable: at least ${estimateText(low)} ${units}.`;
  return "B_simple is not known yet.";
}

/** Holds every line; upper bounds that lie far above are left to run off the top, for which there is then some room. */
function verticalRange(
  lines: readonly PanelPoint[][],
  low: readonly PanelPoint[],
  high: readonly PanelPoint[],
): LogRange {
  const values = [...lines, low].flatMap((points) => points.map(({ y }) => y));
  const inner = logRange(values, noRange);
  const tops = high.map(({ y }, index) => {
    const from = low[index]?.y ?? null;
    if (from === null) return null;
    return y === null ? from * headroom : Math.min(y, inner.max * tallest);
  });
  return logRange([...values, ...tops], noRange);
}

function currentText(word: string, points: readonly PanelPoint[]): string {
  // A value that holds no more is no number to read.
  const now = points.at(-1)?.y ?? null;
  return now === null ? word : `${word} ${numberText(now)}`;
}

function shorten(name: string): string {
  return name.length > 24 ? `${name.slice(0, 23)}…` : name;
}
