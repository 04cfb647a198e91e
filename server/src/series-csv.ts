import { once } from "node:events";
import type { Writable } from "node:stream";
import type { SeriesMetric } from "@noisescale/protocol";
import { applyMeasuredFrontiers } from "./measured-rows.ts";
import { allMetrics } from "./series-reduction.ts";
import { columnOf, seriesRowWidth, stepColumn, timeColumn, valueAt } from "./series-row.ts";
import type { RunRow, Store } from "./store/store.ts";

const everyStep = { from: 0, to: Number.MAX_SAFE_INTEGER };

function heading(metric: SeriesMetric, unit: string): string {
  if (metric === "gradient_squared_norm") return `${metric} [gradient^2]`;
  if (metric === "covariance_trace") return `${metric} [gradient^2*${unit}]`;
  if (metric === "efficiency" || metric === "learning_rate") return metric;
  if (metric === "loss" || metric === "smoothed_loss") return `${metric} [per ${unit}]`;
  return `${metric} [${unit}s]`;
}

/**
 * Every row of the series as CSV, the header with units; what is not known is empty. It holds numbers only, so that no
 * name from outside becomes a formula in a spreadsheet. Waits for a slow reader.
 */
export async function writeSeriesCsv(store: Store, run: RunRow, output: Writable): Promise<void> {
  const columns = allMetrics.map(columnOf);
  const headings = allMetrics.map((metric) => heading(metric, run.declaration.unit));
  output.write(`${["step", "time_ms", ...headings].join(",")}\r\n`);
  const { project, group, unit } = run.declaration;
  const measured = await store.measuredFrontiers(project, group, unit);
  for await (const { rows } of store.series(run.id, everyStep)) {
    applyMeasuredFrontiers(rows, { run, measured });
    let text = "";
    for (let row = 0; row < rows.length / seriesRowWidth; row += 1) {
      const values = [stepColumn, timeColumn, ...columns].map((column) => valueAt(rows, row, column) ?? "");
      text += `${values.join(",")}\r\n`;
    }
    if (!output.write(text)) await Promise.race([once(output, "drain"), once(output, "close")]);
    if (output.destroyed) return;
  }
  output.end();
}
