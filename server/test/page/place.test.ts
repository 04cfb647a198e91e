import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { groupPath, placeOf, runPath } from "../../page/place.ts";

describe("places of the page", () => {
  it("are the run list, a run, a group and the alerts, and nothing else", () => {
    expect(placeOf("/")).toEqual({ kind: "runs" });
    expect(placeOf("/alerts")).toEqual({ kind: "alerts" });
    expect(placeOf("/runs/mnist-mlp")).toEqual({ kind: "run", run: "mnist-mlp" });
    expect(placeOf("/groups/rates/")).toEqual({ kind: "group", group: "rates" });
    for (const path of ["/runs", "/runs/", "/runs/a/b", "/other/a", "/v1/runs/a", "/runs/%E0%A4%A"]) {
      expect(placeOf(path)).toEqual({ kind: "unknown" });
    }
  });

  it("are found again from the address of any name", () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1, unit: "grapheme" }), (name) => {
        expect(placeOf(runPath(name))).toEqual({ kind: "run", run: name });
        expect(placeOf(groupPath(name))).toEqual({ kind: "group", group: name });
      }),
    );
  });
});
