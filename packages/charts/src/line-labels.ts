import type { Chart, Plugin } from "chart.js";
import { type LabelWish, placeLabels, type Segment } from "./label-places.ts";

/** A word at a line, in place of a legend. */
export interface LineLabel extends Omit<LabelWish, "width"> {
  readonly text: string;
  readonly color: string;
  /** Where it belongs, in the axes' values. */
  readonly x: number;
  readonly y: number;
}

const fontSize = 12;

/** A point as Chart.js has put it; `skip` marks a gap. */
interface DrawnPoint {
  readonly x: number;
  readonly y: number;
  readonly skip?: boolean;
}

/**
 * Draws labels at lines, inside the chart's area, clear of each other and of the lines where there is room.
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
  const { ctx } = chart;
  ctx.save();
  ctx.font = `600 ${fontSize}px ${font}`;
  ctx.textBaseline = "middle";
  ctx.textAlign = "left";
  ctx.lineJoin = "round";
  ctx.strokeStyle = halo;
  ctx.lineWidth = 4;
  const wishes = labels.map((label) => ({
    ...label,
    width: ctx.measureText(label.text).width,
    x: x.getPixelForValue(label.x),
    y: y.getPixelForValue(label.y),
  }));
  const places = placeLabels(wishes, drawnLines(chart), chart.chartArea);
  for (const [index, { text, color }] of labels.entries()) {
    const place = places[index];
    if (place === undefined) continue;
    ctx.strokeText(text, place.left, place.center);
    ctx.fillStyle = color;
    ctx.fillText(text, place.left, place.center);
  }
  ctx.restore();
}

/** The lines and marks of the chart as they are on the canvas; edges of bands are none. */
function drawnLines(chart: Chart<"line">): Segment[][] {
  return chart.data.datasets.flatMap((dataset, index) => {
    if (dataset.borderWidth === 0) return [];
    const segments: Segment[] = [];
    const points: readonly DrawnPoint[] = chart.getDatasetMeta(index).data;
    points.forEach((point, place) => {
      if (point.skip) return;
      const next = points[place + 1];
      if (dataset.showLine === false || next === undefined || next.skip) {
        const radius = dataset.showLine === false ? Number(dataset.pointRadius) : 0;
        segments.push({ x1: point.x - radius, y1: point.y, x2: point.x + radius, y2: point.y });
      } else if (dataset.stepped === "before") {
        segments.push({ x1: point.x, y1: point.y, x2: next.x, y2: point.y });
        segments.push({ x1: next.x, y1: point.y, x2: next.x, y2: next.y });
      } else {
        segments.push({ x1: point.x, y1: point.y, x2: next.x, y2: next.y });
      }
    });
    return [segments];
  });
}
