import type { RunSummary } from "@noisescale/protocol";
import { describe, expect, it } from "vitest";
import { firstOrder, groupRuns, orderRuns, sortKeys } from "../../page/run-list-order.ts";

const run = (name: string, more: Partial<RunSummary> = {}): RunSummary => ({
  run: name,
  project: "digits",
  name: null,
  group: null,
  unit: "example",
  state: "live",
  step: null,
  time_ms: null,
  measurements: 0,
  batch_size: null,
  b_simple: null,
  b_simple_low: null,
  recommended_batch_size: null,
  spark: [],
  trackers: [],
  alert: null,
  ...more,
});
const names = (runs: readonly RunSummary[]): string[] => runs.map((one) => one.run);

describe("order of the run list", () => {
  it("has the run that was measured last at the top", () => {
    const runs = [run("old", { time_ms: 1 }), run("new", { time_ms: 2 })];
    expect(names(orderRuns(runs, firstOrder))).toEqual(["new", "old"]);
  });

  it.each(sortKeys)("puts what is not known last by %s, in either direction", (key) => {
    const known = run("known", { step: 1, time_ms: 1, b_simple: 1, batch_size: 1, state: "finished", name: "zz" });
    const unknown = run("unknown", { state: "finished", name: "zz" });
    for (const descending of [true, false]) {
      expect(names(orderRuns([unknown, known], { key, descending }))).toEqual(["known", "unknown"]);
    }
  });

  it("orders a run that is only bounded from below by its bound", () => {
    const runs = [run("a", { b_simple: 100 }), run("b", { b_simple_low: 500 }), run("c", { b_simple: 900 })];
    expect(names(orderRuns(runs, { key: "b_simple", descending: true }))).toEqual(["c", "b", "a"]);
  });

  it("orders by the name that is shown, whatever its case", () => {
    const runs = [run("a", { name: "zebra" }), run("b", { name: "Apple" }), run("c", { name: "mango" })];
    expect(names(orderRuns(runs, { key: "name", descending: false }))).toEqual(["b", "c", "a"]);
  });

  it("folds a group where its first run stands, and leaves runs without a group alone", () => {
    const runs = [run("a", { group: "g" }), run("b"), run("c", { group: "g" }), run("g")];
    expect(groupRuns(runs).map(({ group, runs: members }) => [group, names(members)])).toEqual([
      ["g", ["a", "c"]],
      [undefined, ["b"]],
      [undefined, ["g"]],
    ]);
  });
});
