import type { Series, Snapshot } from "@noisescale/protocol";
import { describe, expect, it } from "vitest";
import { joinSeries, mustReadWhole, seriesPoints } from "../../page/series-growth.ts";

const series = (step: readonly number[], more: Partial<Series> = {}): Series => ({
  run: "a",
  unit: "example",
  total: step.length,
  step: [...step],
  time_ms: [...step],
  columns: { b_simple: [...step] },
  ...more,
});
const at = (step: number | null, measurements: number): Snapshot => ({ step, measurements }) as Snapshot;

describe("growing series", () => {
  it("appends later rows, column by column", () => {
    const joined = joinSeries(series([0, 1]), series([2]));
    expect(joined).toEqual(series([0, 1, 2]));
  });

  it("fills a column that comes later with gaps", () => {
    const joined = joinSeries(series([0, 1], { columns: {} }), series([2], { columns: { b_simple: [5] } }));
    expect(joined.columns.b_simple).toEqual([null, null, 5]);
  });

  it("is not read anew while rows are only missing at its end", () => {
    expect(mustReadWhole(series([0, 1]), at(1, 2))).toBe(false);
    expect(mustReadWhole(series([0, 1]), at(5, 6))).toBe(false);
    expect(mustReadWhole(series([]), at(null, 0))).toBe(false);
  });

  it("is read anew where a later attempt has taken steps back", () => {
    expect(mustReadWhole(series([0, 1, 2]), at(1, 2))).toBe(true);
  });

  it("is read anew where a late step has come before its end", () => {
    expect(mustReadWhole(series([0, 2]), at(2, 3))).toBe(true);
  });

  it("is read anew, and so reduced, where it has many more rows than a panel draws", () => {
    const long = Array.from({ length: 3 * seriesPoints }, (_, step) => step);
    expect(mustReadWhole(series(long), at(long.length - 1, long.length))).toBe(true);
  });
});
