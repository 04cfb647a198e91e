import { join } from "node:path";
import { runDeclarationSchema } from "@noisescale/protocol";
import fc from "fast-check";
import { expect, test } from "vitest";
import { readSeries } from "../src/series-reduction.ts";
import { columnOf, seriesRowWidth, stepColumn } from "../src/series-row.ts";
import { SqliteStore } from "../src/store/sqlite-store.ts";
import type { RunRow } from "../src/store/store.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

const everyStep = { from: 0, to: Number.MAX_SAFE_INTEGER };

async function storeWith(values: readonly (number | null)[]): Promise<{ store: SqliteStore; run: RunRow }> {
  const store = new SqliteStore(join(temporaryDirectory(), "store.sqlite"));
  const rows = new Float64Array(values.length * seriesRowWidth).fill(Number.NaN);
  values.forEach((value, i) => {
    rows[i * seriesRowWidth + stepColumn] = i * 3;
    rows[i * seriesRowWidth + columnOf("b_simple")] = value ?? Number.NaN;
    rows[i * seriesRowWidth + columnOf("loss")] = i % 10 === 0 ? i : Number.NaN;
  });
  const run = await store.transaction(async (transaction) => {
    const made = await transaction.createRun("a", runDeclarationSchema.parse({ project: "p" }), 1);
    await transaction.writeSeries(made.id, 0, rows);
    return made;
  });
  return { store, run };
}

const known = (values: readonly (number | null)[] | undefined): number[] =>
  (values ?? []).filter((value) => value !== null);

test("a reduced series keeps the extremes, the gaps, the order of steps and about the asked number of rows", async () => {
  const value = fc.option(fc.double({ min: -1e9, max: 1e9, noNaN: true }), { freq: 6 });
  await fc.assert(
    fc.asyncProperty(
      fc.array(value, { minLength: 1, maxLength: 700 }),
      fc.integer({ min: 1, max: 60 }),
      async (values, points) => {
        const { store, run } = await storeWith(values);
        const series = await readSeries(store, run, everyStep, ["b_simple", "loss"], points);
        await store.close();
        const reduced = series.columns.b_simple ?? [];
        expect(series.total).toBe(values.length);
        expect(series.step).toEqual([...new Set(series.step)].sort((one, other) => one - other));
        expect(reduced).toHaveLength(series.step.length);
        // Two rows a bucket, a third where there is a gap, and the rows that fill no bucket.
        expect(series.step.length).toBeLessThanOrEqual(1.5 * points + 4);
        const all = known(values);
        if (all.length > 0) {
          expect(Math.max(...known(reduced))).toBe(Math.max(...all));
          expect(Math.min(...known(reduced))).toBe(Math.min(...all));
        }
        expect(reduced.includes(null)).toBe(values.includes(null));
      },
    ),
    { numRuns: 60, seed: 5 },
  );
});

test("one spike and one gap among 100,000 rows are both seen in 600", async () => {
  const values: (number | null)[] = Array.from({ length: 100_000 }, () => 1);
  values[54_321] = 1e6;
  values[77_777] = null;
  const { store, run } = await storeWith(values);
  const series = await readSeries(store, run, everyStep, ["b_simple"], 600);
  expect(series.step.length).toBeLessThanOrEqual(610);
  expect(series.columns.b_simple?.filter((value) => value === 1e6)).toHaveLength(1);
  expect(series.columns.b_simple?.filter((value) => value === null)).toHaveLength(1);
  const part = await readSeries(store, run, { from: 3 * 77_000, to: 3 * 78_000 }, ["b_simple"], 5000);
  expect(part.total).toBe(1001);
  expect(part.step.at(0)).toBe(3 * 77_000);
  expect(part.step.at(-1)).toBe(3 * 78_000);
  await store.close();
});

test("a metric that is reported now and then is no gap", async () => {
  const { store, run } = await storeWith(Array.from({ length: 1000 }, () => 1));
  const series = await readSeries(store, run, everyStep, ["loss"], 20);
  expect(known(series.columns.loss)).toHaveLength(series.step.length);
  await store.close();
});
