import {
  CategoryScale,
  Chart,
  Filler,
  LinearScale,
  LineController,
  LineElement,
  LogarithmicScale,
  PointElement,
} from "chart.js";
import type { PanelConfiguration, PanelPoint } from "./panel-frame.ts";

Chart.register(CategoryScale, Filler, LinearScale, LineController, LineElement, LogarithmicScale, PointElement);

/** Chart.js with the parts that the panels use. */
export { Chart };

/** A panel on a canvas. */
export type PanelChart = Chart<"line", PanelPoint[]>;

/** Puts new numbers into a panel that is drawn already, in place: a live page keeps its canvas. */
export function updateChart(chart: PanelChart, { data, options, plugins = [] }: PanelConfiguration): void {
  if (options !== undefined) chart.options = options;
  chart.data = data;
  const current = chart.config.plugins;
  current?.splice(0, current.length, ...plugins);
  chart.update("none");
}
