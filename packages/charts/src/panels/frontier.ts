import type { LineLabel } from "../line-labels.ts";
import { logRange } from "../log-axis.ts";
import { numberText } from "../number-text.ts";
import { type PanelData, unitWords } from "../panel-data.ts";
import { bandDatasets, lineDataset, type PanelConfiguration, type PanelPoint, panelFrame } from "../panel-frame.ts";
import type { Theme } from "../theme.ts";

/** The curve is drawn for batch sizes from B_crit/30 to 30·B_crit. */
const reach = 30;
const curvePoints = 120;

interface Frontier {
  readonly minSteps: number;
  readonly minUnits: number;
}

/** Panel 3: steps against units, (S/S_min − 1)(E/E_min − 1) = 1, predicted from this run, with its outer bounds. */
export function frontierPanel({ snapshot }: PanelData, theme: Theme): PanelConfiguration {
  const { predicted } = snapshot;
  const middle = frontierOf(predicted.min_steps, predicted.min_units);
  const curve = middle === undefined ? [] : curveOf(middle);
  const range = {
    x: logRange(
      curve.map(({ x }) => x),
      { min: 10, max: 10_000 },
    ),
    y: logRange(
      curve.map(({ y }) => y),
      { min: 1000, max: 1_000_000 },
    ),
  };
  const inner = frontierOf(predicted.min_steps_low, predicted.min_units_low);
  const outer = frontierOf(predicted.min_steps_high, predicted.min_units_high);
  const grid = Array.from(
    { length: curvePoints },
    (_, index) => range.x.min * (range.x.max / range.x.min) ** (index / (curvePoints - 1)),
  );
  const beyond = range.y.max * 10;
  const edge = (frontier: Frontier | undefined): PanelPoint[] =>
    frontier === undefined ? [] : grid.map((steps) => ({ x: steps, y: Math.min(unitsAt(frontier, steps), beyond) }));
  const marks = middle === undefined ? [] : marksOf(snapshot, middle, theme);
  return panelFrame(theme, {
    datasets: [
      ...marks.map(({ point, color, label }) =>
        lineDataset([point], color, {
          showLine: false,
          pointRadius: label === undefined ? 4 : 6,
          pointBackgroundColor: label === undefined ? theme.background : color,
          pointBorderColor: color,
          pointBorderWidth: 2,
        }),
      ),
      lineDataset(curve, theme.blue),
      ...bandDatasets(edge(inner), edge(outer), theme.blueBand),
    ],
    x: { kind: "log", title: "optimizer steps", range: range.x },
    y: { kind: "log", title: `${unitWords[snapshot.unit]} processed`, range: range.y },
    labels: [
      ...marks.flatMap(({ label }) => (label === undefined ? [] : [label])),
      ...(curve.length === 0 ? [] : [curveLabel(curve, theme)]),
    ],
  });
}

export function frontierText({ snapshot }: PanelData): string {
  const { min_steps: steps, min_units: units, critical_batch_size: critical } = snapshot.predicted;
  if (steps === null || units === null || critical === null || critical === 0) {
    return "The frontier cannot be predicted yet.";
  }
  return `What this run has reached so far would take at least ${numberText(steps)} steps and at least ${numberText(units)} ${unitWords[snapshot.unit]}; both double at a batch of ${numberText(critical)}. Predicted from B_simple, not from a sweep.`;
}

function frontierOf(minSteps: number | null, minUnits: number | null): Frontier | undefined {
  return minSteps === null || minUnits === null || !(minSteps > 0) || !(minUnits > 0)
    ? undefined
    : { minSteps, minUnits };
}

function pointAt({ minSteps, minUnits }: Frontier, batchSize: number): { x: number; y: number } {
  const critical = minUnits / minSteps;
  return { x: minSteps * (1 + critical / batchSize), y: minUnits * (1 + batchSize / critical) };
}

function curveOf(frontier: Frontier): PanelPoint[] {
  const critical = frontier.minUnits / frontier.minSteps;
  return Array.from({ length: curvePoints }, (_, index) =>
    pointAt(frontier, critical * reach ** (1 - (2 * index) / (curvePoints - 1))),
  );
}

function unitsAt({ minSteps, minUnits }: Frontier, steps: number): number {
  return steps <= minSteps ? Number.POSITIVE_INFINITY : minUnits * (1 + 1 / (steps / minSteps - 1));
}

function marksOf(
  snapshot: PanelData["snapshot"],
  frontier: Frontier,
  theme: Theme,
): { point: { x: number; y: number }; color: string; label: LineLabel | undefined }[] {
  const mark = (batchSize: number | null, text: string, color: string, align: LineLabel["align"]) => {
    if (batchSize === null) return [];
    const point = pointAt(frontier, batchSize);
    return [{ point, color, label: { text, color, ...point, align, position: "beside" as const } }];
  };
  const knee = pointAt(frontier, frontier.minUnits / frontier.minSteps);
  const current = snapshot.batch_size;
  const recommended = snapshot.recommendation.batch_size;
  return [
    ...mark(current, `this run, ${numberText(current ?? 0)}`, theme.ink, "right"),
    ...(recommended === current ? [] : mark(recommended, numberText(recommended ?? 0), theme.orange, "left")),
    { point: knee, color: theme.blue, label: undefined },
  ];
}

function curveLabel(curve: readonly PanelPoint[], theme: Theme): LineLabel {
  const place = curve[Math.floor(curve.length * 0.86)] ?? { x: 1, y: 1 };
  return {
    text: "predicted from this run",
    color: theme.blue,
    x: place.x,
    y: place.y ?? 1,
    align: "center",
    position: "above",
  };
}
