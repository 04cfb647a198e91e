import { describe, expect, test } from "vitest";
import { FilterState, measurements } from "../src/filter-state.ts";
import { learnTails, startTails, tailWidening } from "../src/filter-tails.ts";
import { seededNormal } from "./simulated-run.ts";

function widening(squares: readonly number[]): number {
  const { shared } = new FilterState();
  startTails(shared);
  squares.forEach((square, index) => {
    shared[measurements] = 21 + index;
    learnTails(shared, square);
  });
  return tailWidening(shared);
}

describe("the widening for heavy tails", () => {
  test("is exactly 1 at the start and for normal innovations", () => {
    const normal = seededNormal(1);
    expect(widening([])).toBe(1);
    expect(widening(Array.from({ length: 3000 }, () => normal() ** 2))).toBe(1);
  });

  test("is what the definition gives of the two running means", () => {
    // The start counts for 200: means (200 + 100)/201 and (200·3 + 100²)/201, moved by the first measurement's 1/201.
    const [square, fourth] = [1 + (100 - 1) / 201, 3 + (100 ** 2 - 3) / 201];
    expect(widening([100])).toBeCloseTo(1 + 0.2 * (Math.log(fourth / 3 / square ** 2) - 1.35), 12);
  });

  test("grows with an outlier, is forgotten again, and never exceeds 1.6", () => {
    const normal = seededNormal(2);
    const quiet = Array.from({ length: 8000 }, () => normal() ** 2);
    expect(widening([...quiet, 1000])).toBeGreaterThan(1.4);
    expect(widening([...quiet, 1000, ...quiet])).toBe(1);
    expect(widening([...quiet, 1e300])).toBeCloseTo(1.6, 12);
  });

  test("stays between 1 and 1.6 where nothing varies at all", () => {
    const found = widening(Array.from({ length: 1_000_000 }, () => 0));
    expect(found).toBeGreaterThanOrEqual(1);
    expect(found).toBeLessThanOrEqual(1.6);
  });
});
