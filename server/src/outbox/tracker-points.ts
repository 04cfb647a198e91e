import type { SeriesMetric } from "@noisescale/protocol";
import type { LayerEstimate } from "@noisescale/statistics";
import { metricKeys, type Point } from "@noisescale/tracker";
import { columnOf, stepColumn, timeColumn, valueAt } from "../series-row.ts";

/** Columns of the series that trackers are sent, under their own names. */
const sentMetrics: readonly SeriesMetric[] = [
  "b_simple",
  "b_simple_low",
  "b_simple_high",
  "gradient_squared_norm",
  "covariance_trace",
  "b_noise",
  "b_preconditioned",
  "critical_batch_size",
  "recommended_batch_size",
  "batch_size",
  "efficiency",
];
const sent = sentMetrics.map((metric) => ({ key: `noise_scale/${metric}`, column: columnOf(metric) }));

/** Layers with the largest share of tr Σ that trackers are sent. */
const sentLayers = 32;

/** The points of one row of the series; what is not known has no point. */
export function seriesPoints(row: Float64Array): Point[] {
  const step = row[stepColumn] as number;
  const timeMs = row[timeColumn] as number;
  return sent.flatMap(({ key, column }) => {
    const value = valueAt(row, 0, column);
    return value === null ? [] : [{ key, step, timeMs, value }];
  });
}

/** @param layers - sorted by share of tr Σ, the largest first */
export function layerPoints(layers: ReadonlyMap<string, LayerEstimate>, step: number, timeMs: number): Point[] {
  // Keys are made from all names in one fixed order, so that a name keeps its key while shares change.
  const names = [...layers.keys()].sort();
  const keys = metricKeys(names.map((name) => `noise_scale/layer/${name}/b_simple`));
  const keyOf = new Map(names.map((name, i) => [name, keys[i] as string]));
  return [...layers].slice(0, sentLayers).flatMap(([name, { bSimple }]) => {
    const key = keyOf.get(name);
    return bSimple === undefined || key === undefined ? [] : [{ key, step, timeMs, value: bSimple }];
  });
}
