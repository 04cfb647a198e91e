import type { Series, Snapshot } from "@noisescale/protocol";

/** Rows of a series that a panel draws at most: more than a pixel each says nothing more. */
export const seriesPoints = 600;

/** More rows than are drawn, or rows that a later attempt or a late step has replaced. */
export function mustReadWhole(series: Series, snapshot: Snapshot): boolean {
  const last = series.step.at(-1);
  if (series.step.length > 2.5 * seriesPoints) return true;
  if (last === undefined || snapshot.step === null) return false;
  return snapshot.step < last || (snapshot.step === last && snapshot.measurements !== series.total);
}

/** One series followed by its later rows. */
export function joinSeries(series: Series, more: Series): Series {
  const columns: Series["columns"] = { ...series.columns };
  for (const [name, values] of Object.entries(more.columns)) {
    const metric = name as keyof Series["columns"];
    columns[metric] = [...(series.columns[metric] ?? series.step.map(() => null)), ...values];
  }
  return {
    ...series,
    total: series.total + more.total,
    step: [...series.step, ...more.step],
    time_ms: [...series.time_ms, ...more.time_ms],
    columns,
  };
}
