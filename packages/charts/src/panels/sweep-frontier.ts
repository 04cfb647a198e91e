import type { LineLabel } from "../line-labels.ts";
import { logRange } from "../log-axis.ts";
import { estimateText, shortText } from "../number-text.ts";
import { unitWords } from "../panel-data.ts";
import {
  bandDatasets,
  lineDataset,
  type PanelConfiguration,
  type PanelDataset,
  type PanelPoint,
  panelFrame,
} from "../panel-frame.ts";
import type { SweepData, SweepTarget } from "../sweep-data.ts";
import type { Theme } from "../theme.ts";
import { curveBetween, type FrontierShape, pointAt, unitsAt } from "./frontier-geometry.ts";

/** The curve goes beyond the sweep and the critical batch size by this factor. */
const reach = 2;
const gridPoints = 160;

/** Panel 3 of a sweep: a dot a run, the fitted frontier of each target with its outer bounds, a ring at its critical batch size. */
export function sweepFrontierPanel({ targets, unit }: SweepData, theme: Theme): PanelConfiguration {
  const curves = targets.map(curveOf);
  const dots = targets.map((target) => dotsOf(target, false));
  const leftOut = targets.map((target) => dotsOf(target, true));
  const drawn = [...curves, ...dots, ...leftOut].flat();
  const range = {
    x: logRange(
      drawn.map(({ x }) => x),
      { min: 10, max: 10_000 },
    ),
    y: logRange(
      drawn.map(({ y }) => y),
      { min: 1000, max: 1_000_000 },
    ),
  };
  const band = (target: SweepTarget): PanelDataset[] => {
    const edge = (shape: FrontierShape): PanelPoint[] =>
      Array.from({ length: gridPoints }, (_, index) => {
        const steps = range.x.min * (range.x.max / range.x.min) ** (index / (gridPoints - 1));
        // Off the panel's edges there is nothing to see, and a logarithm has no zero.
        return { x: steps, y: Math.min(Math.max(unitsAt(shape, steps), range.y.min / 10), range.y.max * 10) };
      });
    const open = Number.POSITIVE_INFINITY;
    return bandDatasets(
      edge({ minSteps: target.minStepsLow ?? 0, minUnits: target.minUnitsLow ?? 0 }),
      edge({ minSteps: target.minStepsHigh ?? open, minUnits: target.minUnitsHigh ?? open }),
      theme.blueBand,
    );
  };
  return panelFrame(theme, {
    datasets: [
      ...targets.map((target) => ring(pointAt(target, target.criticalBatchSize), theme)),
      ...dots.map((points) => scatter(points, theme.ink, theme.ink)),
      ...leftOut.map((points) => scatter(points, theme.muted, "transparent")),
      // Straight pieces would be drawn by whole columns of pixels, with steps where the curve is steep.
      ...curves.map((curve) => lineDataset(curve, theme.blue, { cubicInterpolationMode: "monotone" })),
      ...targets.flatMap(band),
    ],
    x: { kind: "log", title: "optimizer steps", range: range.x },
    y: { kind: "log", title: `${unitWords[unit]} processed`, range: range.y },
    labels: targets.map((target) => kneeLabel(target, theme)),
  });
}

export function sweepFrontierText({ targets, unit }: SweepData): string {
  return targets
    .map((target) => {
      const { criticalBatchSizeLow: low, criticalBatchSizeHigh: high } = target;
      const interval = `${low === undefined ? "no lower end" : estimateText(low)} to ${high === undefined ? "no upper end" : estimateText(high)}`;
      return `To reach ${target.target} takes at least ${estimateText(target.minSteps)} steps and ${estimateText(target.minUnits)} ${unitWords[unit]}; both double at a batch of ${estimateText(target.criticalBatchSize)} (95 %: ${interval}).`;
    })
    .join(" ");
}

function curveOf(target: SweepTarget): PanelPoint[] {
  const sizes = [target.criticalBatchSize, ...target.points.map(({ batchSize }) => batchSize)];
  return curveBetween(target, Math.min(...sizes) / reach, Math.max(...sizes) * reach);
}

function dotsOf({ points }: SweepTarget, leftOut: boolean): PanelPoint[] {
  return points
    .filter((point) => point.leftOut === leftOut)
    .flatMap(({ batchSize, steps }) => steps.map((value) => ({ x: value, y: value * batchSize })));
}

function scatter(points: PanelPoint[], border: string, fill: string): PanelDataset {
  return lineDataset(points, border, {
    showLine: false,
    pointRadius: 2.5,
    pointBackgroundColor: fill,
    pointBorderColor: border,
    pointBorderWidth: 1,
  });
}

function ring(point: PanelPoint, theme: Theme): PanelDataset {
  return lineDataset([point], theme.blue, {
    showLine: false,
    pointRadius: 8,
    pointBackgroundColor: "transparent",
    pointBorderColor: theme.blue,
    pointBorderWidth: 1.5,
  });
}

function kneeLabel(target: SweepTarget, theme: Theme): LineLabel {
  return {
    text: `${target.target}: B_crit ${shortText(target.criticalBatchSize)}`,
    color: theme.blue,
    ...pointAt(target, target.criticalBatchSize),
    align: "right",
    position: "beside",
  };
}
