import { inflateSync } from "node:zlib";
import { metricKey } from "@noisescale/tracker";
import { describe, expect, test } from "vitest";
import { showsViews, viewTag } from "../src/experiment-view.ts";

describe("the view of an experiment", () => {
  const { key, value } = viewTag(1_790_000_000_000);
  const view = JSON.parse(value) as { name: string; state: string };
  const state = JSON.parse(inflateSync(Buffer.from(view.state.replace("deflate;", ""), "base64")).toString("utf8")) as {
    compareRunCharts: { metricKey: string; selectedMetricKeys?: string[]; deleted: boolean }[];
  };

  test("is pushed only to servers whose page lists shared views by name, from 3.15 on", () => {
    expect(["3.15.0", "3.17.2", "3.20.0rc1", "4.0.0"].filter(showsViews)).toHaveLength(4);
    expect(["3.14.3", "2.22.0", "", "<!doctype html>", "v3.17"].filter(showsViews)).toEqual([]);
  });

  test("fits into a tag, with every metric drawn once and none by a chart of its own beside", () => {
    expect(value.length).toBeLessThan(20_000);
    const drawn = state.compareRunCharts.filter(({ deleted }) => !deleted).flatMap((chart) => chart.selectedMetricKeys);
    expect([...drawn].sort()).toEqual(Object.values(metricKey).sort());
    const alone = state.compareRunCharts.map((chart) => chart.metricKey);
    expect([...alone].sort()).toEqual(Object.values(metricKey).sort());
  });

  test("has the same name at another time, so that it is pushed once", () => {
    expect(viewTag(5).key).toBe(key);
    expect(key).toMatch(/^mlflow\.sharedViewState\.noise-scale-[0-9a-f]{8}$/);
  });
});
