import { describe, expect, it } from "vitest";
import { sparkHeight, sparkPath, sparkWidth } from "../../page/spark-path.ts";

describe("spark line", () => {
  it("rises from the lower left to the upper right with a growing value", () => {
    expect(sparkPath([1, 10, 100])).toBe(`M2.0 22.0L48.0 12.0L${sparkWidth - 2}.0 2.0`);
  });

  it("breaks at what is not known, and at what a logarithm does not know", () => {
    expect(sparkPath([1, 2, null, 4, 8]).match(/M/g)).toHaveLength(2);
    expect(sparkPath([1, 2, 0, 4, 8]).match(/M/g)).toHaveLength(2);
  });

  it("shows a value between two gaps as a dot", () => {
    expect(sparkPath([null, 5, null])).toMatch(/^M\S+ \S+h0$/);
  });

  it("is empty where nothing is known", () => {
    expect(sparkPath([])).toBe("");
    expect(sparkPath([null, null])).toBe("");
  });

  it("draws what hardly changes as hardly changing", () => {
    const heights = [...sparkPath([1000, 1001, 999]).matchAll(/ ([\d.]+)/g)].map(([, height]) => Number(height));
    expect(Math.max(...heights) - Math.min(...heights)).toBeLessThan(sparkHeight / 20);
  });
});
