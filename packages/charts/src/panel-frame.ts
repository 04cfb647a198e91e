import type { ChartConfiguration, ChartDataset } from "chart.js";
import { type LineLabel, lineLabels } from "./line-labels.ts";
import { type LogRange, logTicks } from "./log-axis.ts";
import { shortText } from "./number-text.ts";
import type { Theme } from "./theme.ts";

export type PanelConfiguration = ChartConfiguration<"line", PanelPoint[]>;
export type PanelDataset = ChartDataset<"line", PanelPoint[]>;

/** A gap has y null. */
export interface PanelPoint {
  x: number;
  y: number | null;
}

/** Inter where a page has it; the faces after it are those of the system. */
export const fontFamily = '"Inter", system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif';

/** An axis of a panel. */
export type PanelAxis =
  | { readonly kind: "log"; readonly title: string; readonly range: LogRange }
  | { readonly kind: "linear"; readonly title: string; readonly min: number; readonly max: number }
  /** A row a name, from the top; the first is at 0. */
  | { readonly kind: "names"; readonly names: readonly string[] };

/** What the panels have in common: axes, grid, labels at the lines, no animation, no legend. */
export function panelFrame(
  theme: Theme,
  parts: {
    readonly datasets: PanelDataset[];
    readonly x: PanelAxis;
    readonly y: PanelAxis;
    readonly labels: readonly LineLabel[];
  },
): PanelConfiguration {
  return {
    type: "line",
    data: { datasets: parts.datasets },
    options: {
      animation: false,
      parsing: false,
      normalized: true,
      responsive: true,
      maintainAspectRatio: false,
      events: [],
      layout: { padding: { right: 12, top: 6 } },
      elements: { point: { radius: 0 }, line: { borderWidth: 2, borderJoinStyle: "round" } },
      plugins: {
        legend: { display: false },
        tooltip: { enabled: false },
      },
      scales: { x: scale(parts.x, theme, false), y: scale(parts.y, theme, true) },
    },
    plugins: [lineLabels(parts.labels, theme.background, fontFamily), paintBackground(theme.background)],
  };
}

/** A line of a panel; a point between two gaps, which would leave no line, is a dot. */
export function lineDataset(data: PanelPoint[], borderColor: string, more: Partial<PanelDataset> = {}): PanelDataset {
  const known = (index: number): boolean => typeof data[index]?.y === "number";
  const pointRadius = data.map((_, index) => (known(index) && !known(index - 1) && !known(index + 1) ? 1.25 : 0));
  return { data, borderColor, backgroundColor: borderColor, spanGaps: false, pointRadius, fill: false, ...more };
}

/** Two edges with the space between them filled; where the upper edge is unknown it runs off the top. */
export function bandDatasets(lower: PanelPoint[], upper: PanelPoint[], color: string): PanelDataset[] {
  const edge = { borderWidth: 0, pointRadius: 0, spanGaps: false } as const;
  return [
    { data: lower, ...edge, borderColor: "transparent", fill: false },
    { data: upper, ...edge, borderColor: "transparent", backgroundColor: color, fill: "-1" },
  ];
}

type PanelScale = NonNullable<NonNullable<PanelConfiguration["options"]>["scales"]>[string];

function scale(axis: PanelAxis, theme: Theme, grid: boolean): NonNullable<PanelScale> {
  if (axis.kind === "names") return namesScale(axis.names, theme);
  const { min, max } = axis.kind === "log" ? axis.range : axis;
  return {
    type: axis.kind === "log" ? "logarithmic" : "linear",
    min,
    max,
    title: { display: true, text: axis.title, color: theme.muted, font: { family: fontFamily, size: 12 } },
    border: { display: !grid, color: theme.grid },
    grid: { color: theme.grid, drawTicks: false, lineWidth: grid ? 1 : 0 },
    ticks: {
      color: theme.muted,
      padding: 6,
      maxRotation: 0,
      autoSkip: true,
      includeBounds: false,
      autoSkipPadding: 12,
      maxTicksLimit: axis.kind === "log" ? 14 : 7,
      font: { family: fontFamily, size: 12 },
      callback: (value: string | number) => shortText(Number(value)),
    },
    ...(axis.kind === "log"
      ? {
          afterBuildTicks: (built: { ticks: { value: number }[] }) => {
            built.ticks = logTicks(axis.range).map((value) => ({ value }));
          },
        }
      : {}),
  };
}

function namesScale(names: readonly string[], theme: Theme): NonNullable<PanelScale> {
  return {
    type: "linear",
    min: -0.5,
    max: Math.max(names.length, 1) - 0.5,
    reverse: true,
    border: { display: false },
    grid: { display: false },
    ticks: {
      color: theme.ink,
      padding: 6,
      autoSkip: false,
      font: { family: fontFamily, size: 12 },
      callback: (value: string | number) => names[Number(value)] ?? "",
    },
    afterBuildTicks: (built: { ticks: { value: number }[] }) => {
      built.ticks = names.map((_, value) => ({ value }));
    },
  };
}

/** A picture has no page behind it. */
function paintBackground(color: string): NonNullable<PanelConfiguration["plugins"]>[number] {
  return {
    id: "background",
    beforeDraw({ ctx, width, height }) {
      ctx.save();
      ctx.fillStyle = color;
      ctx.fillRect(0, 0, width, height);
      ctx.restore();
    },
  };
}
