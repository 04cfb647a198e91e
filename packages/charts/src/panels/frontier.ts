import type { LineLabel } from "../line-labels.ts";
import { logRange } from "../log-axis.ts";
import { estimateText, numberText, shortText, timesText } from "../number-text.ts";
import { type PanelData, unitWords } from "../panel-data.ts";
import { bandDatasets, lineDataset, type PanelConfiguration, type PanelPoint, panelFrame } from "../panel-frame.ts";
import { noiseScaleName } from "../recommendation-words.ts";
import type { Theme } from "../theme.ts";
import { curveBetween, type FrontierShape, pointAt, unitsAt } from "./frontier-geometry.ts";

/** The curve is drawn for batch sizes from B_crit/20 to 20·B_crit, and to those that are marked. */
const reach = 20;
/** Points of the bounds, over the axis of steps. */
const curvePoints = 120;

/** Panel 3: steps against units, (S/S_min − 1)(E/E_min − 1) = 1, predicted from this run, with its outer bounds. */
export function frontierPanel({ snapshot }: PanelData, theme: Theme): PanelConfiguration {
  const { predicted } = snapshot;
  const middle = frontierOf(predicted.min_steps, predicted.min_units);
  const curve = middle === undefined ? [] : curveOf(middle, [snapshot.batch_size, snapshot.recommendation.batch_size]);
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
  const inner = boundOf(predicted.min_steps_low, predicted.min_units_low);
  const outer = boundOf(predicted.min_steps_high, predicted.min_units_high);
  const grid = Array.from(
    { length: curvePoints },
    (_, index) => range.x.min * (range.x.max / range.x.min) ** (index / (curvePoints - 1)),
  );
  const beyond = range.y.max * 10;
  const edge = (frontier: FrontierShape | undefined): PanelPoint[] =>
    grid.map((steps) => ({
      x: steps,
      y: frontier === undefined ? beyond : Math.min(unitsAt(frontier, steps), beyond),
    }));
  const marks = middle === undefined ? [] : marksOf(snapshot, middle, theme);
  return panelFrame(theme, {
    datasets: [
      ...marks.map(({ point, color, open }) =>
        lineDataset([point], color, {
          showLine: false,
          pointRadius: open ? 9 : 5.5,
          pointBackgroundColor: open ? "transparent" : color,
          pointBorderColor: color,
          pointBorderWidth: open ? 1.5 : 2,
        }),
      ),
      lineDataset(curve, theme.blue),
      ...(inner === undefined ? [] : bandDatasets(edge(inner), edge(outer), theme.blueBand)),
    ],
    x: { kind: "log", title: "optimizer steps", range: range.x },
    y: { kind: "log", title: `${unitWords[snapshot.unit]} processed`, range: range.y },
    labels: [...marks.map(({ label }) => label), ...(curve.length === 0 ? [] : [curveLabel(curve, marks, theme)])],
  });
}

export function frontierText({ snapshot }: PanelData): string {
  const { min_steps: steps, min_units: units, critical_batch_size: critical, adaptive_gain: gain } = snapshot.predicted;
  if (steps === null || units === null || critical === null || critical === 0) {
    return "The frontier cannot be predicted yet.";
  }
  return `This run's progress takes at least ${estimateText(steps)} steps and ${estimateText(units)} ${unitWords[snapshot.unit]}; both double at a batch of ${estimateText(critical)}. ${adaptiveText(gain)}Predicted from ${noiseScaleName(snapshot.predicted.basis)}, not from a sweep.`;
}

/** At the knee each costs 1 + √γ times its least, where one fixed batch size costs twice the least. */
function adaptiveText(gain: number | null): string {
  if (gain === null) return "";
  const times = timesText(1 + Math.sqrt(gain));
  return times === timesText(2) ? "" : `With a batch that follows the noise scale both would be ${times} the least. `;
}

function frontierOf(minSteps: number | null, minUnits: number | null): FrontierShape | undefined {
  return minSteps === null || minUnits === null || !(minSteps > 0) || !(minUnits > 0)
    ? undefined
    : { minSteps, minUnits };
}

/** A bound may have no least number of steps: where the signal may be zero, so may they. Its units are then the same at any. */
function boundOf(minSteps: number | null, minUnits: number | null): FrontierShape | undefined {
  return minSteps === null || minUnits === null || !(minUnits > 0) ? undefined : { minSteps, minUnits };
}

function curveOf(frontier: FrontierShape, marked: readonly (number | null)[]): PanelPoint[] {
  const critical = frontier.minUnits / frontier.minSteps;
  const ratios = marked.filter((batchSize) => batchSize !== null).map((batchSize) => batchSize / critical);
  const [small, large] = [Math.min(1 / reach, ...ratios), Math.max(reach, ...ratios)];
  return curveBetween(frontier, critical * small, critical * large);
}

interface Mark {
  readonly point: { x: number; y: number };
  readonly color: string;
  /** A ring around what may stand at the same place. */
  readonly open: boolean;
  readonly label: LineLabel;
}

function marksOf(snapshot: PanelData["snapshot"], frontier: FrontierShape, theme: Theme): Mark[] {
  const mark = (batchSize: number, text: string, color: string, align: "left" | "right", open = false): Mark => {
    const point = pointAt(frontier, batchSize);
    return { point, color, open, label: { text, color, ...point, align, position: "beside" } };
  };
  const critical = frontier.minUnits / frontier.minSteps;
  const current = snapshot.batch_size;
  const recommended = snapshot.recommendation.batch_size;
  return [
    ...(current === null ? [] : [mark(current, `this run, ${batchText(current)}`, theme.ink, "right")]),
    ...(recommended === null || recommended === current
      ? []
      : [mark(recommended, `recommended ${batchText(recommended)}`, theme.orange, "right")]),
    mark(critical, `B_crit ${shortText(critical)}`, theme.blue, "left", true),
  ];
}

/** A batch size is a setting: its digits count, until there are too many for a label. */
function batchText(batchSize: number): string {
  return batchSize < 100_000 ? numberText(batchSize) : shortText(batchSize);
}

/** The curve's name stands where it is farthest from the marks: along the flat part, or right of the steep one. */
function curveLabel(curve: readonly PanelPoint[], marks: readonly Mark[], theme: Theme): LineLabel {
  const places = [0.86, 0.74, 0.62, 0.2].map((part) => ({
    steep: part < 0.5,
    ...(curve[Math.floor(curve.length * part)] ?? { x: 1, y: 1 }),
  }));
  // Units over steps are the batch size of a point of the curve.
  const batchSize = ({ x, y }: PanelPoint): number => Math.log((y ?? 1) / x);
  const distance = (point: PanelPoint): number =>
    Math.min(...marks.map((mark) => Math.abs(batchSize(point) - batchSize(mark.point))));
  const { steep, x, y } = places.reduce((best, other) => (distance(other) > distance(best) ? other : best));
  return {
    text: "predicted from this run",
    color: theme.blue,
    x,
    y: y ?? 1,
    align: steep ? "right" : "center",
    position: steep ? "beside" : "above",
  };
}
