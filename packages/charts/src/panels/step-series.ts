import type { LineLabel } from "../line-labels.ts";
import type { PanelSeries, SeriesColumnName } from "../panel-data.ts";
import type { PanelPoint } from "../panel-frame.ts";

/** A column over the steps; what is not known is a gap. */
export function pointsOf(series: PanelSeries, column: SeriesColumnName): PanelPoint[] {
  const values = series.columns[column] ?? [];
  return series.step.map((x, index) => ({ x, y: values[index] ?? null }));
}

/** An axis over every step of these series. */
export function stepAxis(series: readonly PanelSeries[]): {
  readonly kind: "linear";
  readonly title: string;
  readonly min: number;
  readonly max: number;
} {
  const ends = series.flatMap(({ step }) => [step[0] ?? 0, step.at(-1) ?? 1]);
  const min = Math.min(...ends);
  return { kind: "linear", title: "step", min, max: Math.max(...ends, min + 1) };
}

/** A name at the last known value of a line. */
export function endLabel(
  points: readonly PanelPoint[],
  text: string,
  color: string,
  position: LineLabel["position"],
): LineLabel[] {
  const last = points.findLast(({ y }) => y !== null);
  if (last === undefined || last.y === null) return [];
  return [{ text, color, x: last.x, y: last.y, align: "left", position }];
}
