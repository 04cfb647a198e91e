import type { Chart, Plugin } from "chart.js";

/** A word at a line, in place of a legend. */
export interface LineLabel {
  readonly text: string;
  readonly color: string;
  /** Where it belongs, in the axes' values. */
  readonly x: number;
  readonly y: number;
  /** Side of that place on which the text stands. */
  readonly align: "left" | "right" | "center";
  /** Above the place, below it, or beside it. */
  readonly position: "above" | "below" | "beside";
}

const fontSize = 12;
const gap = 9;

interface Box {
  left: number;
  right: number;
  top: number;
  bottom: number;
}

/**
 * Draws labels at lines, inside the chart's area; one that would cover an earlier one moves out of its way.
 *
 * @param halo - colour behind the letters
 * @param font - family
 */
export function lineLabels(labels: readonly LineLabel[], halo: string, font: string): Plugin<"line"> {
  return {
    id: "lineLabels",
    afterDatasetsDraw: (chart) => drawLabels(chart, labels, halo, font),
  };
}

function drawLabels(chart: Chart<"line">, labels: readonly LineLabel[], halo: string, font: string): void {
  const { x, y } = chart.scales;
  if (x === undefined || y === undefined) return;
  const { ctx, chartArea: area } = chart;
  const taken: Box[] = [];
  ctx.save();
  ctx.font = `600 ${fontSize}px ${font}`;
  ctx.textBaseline = "middle";
  ctx.lineJoin = "round";
  for (const label of labels) {
    const width = ctx.measureText(label.text).width;
    const anchorX = x.getPixelForValue(label.x);
    const anchorY = y.getPixelForValue(label.y);
    const shift = { left: -width - gap, right: gap, center: -width / 2 }[label.align];
    const left = Math.min(Math.max(anchorX + shift, area.left + 2), area.right - width - 2);
    const rise = { above: -fontSize, below: fontSize, beside: 0 }[label.position];
    const direction = label.position === "below" ? 1 : -1;
    let center = clamp(anchorY + rise, area);
    for (
      let attempt = 0;
      attempt < 12 && taken.some((box) => overlaps(box, boxAt(left, center, width)));
      attempt += 1
    ) {
      const away = Math.ceil((attempt + 1) / 2) * (fontSize + 3) * (attempt % 2 === 0 ? direction : -direction);
      center = clamp(anchorY + rise + away, area);
    }
    taken.push(boxAt(left, center, width));
    ctx.strokeStyle = halo;
    ctx.lineWidth = 4;
    ctx.strokeText(label.text, left, center);
    ctx.fillStyle = label.color;
    ctx.fillText(label.text, left, center);
  }
  ctx.restore();
}

function boxAt(left: number, center: number, width: number): Box {
  return { left, right: left + width, top: center - fontSize / 2 - 1, bottom: center + fontSize / 2 + 1 };
}

function overlaps(one: Box, other: Box): boolean {
  return one.left < other.right && other.left < one.right && one.top < other.bottom && other.top < one.bottom;
}

function clamp(center: number, area: { readonly top: number; readonly bottom: number }): number {
  return Math.min(Math.max(center, area.top + fontSize / 2 + 1), area.bottom - fontSize / 2 - 1);
}
