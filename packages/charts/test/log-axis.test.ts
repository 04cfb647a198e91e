import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { logRange, logTicks } from "../src/log-axis.ts";

const otherwise = { min: 1, max: 10 };
const leading = (value: number): number => Number(value.toExponential().split("e")[0]);
const positive = fc.double({ min: 1e-30, max: 1e30, noNaN: true });

describe("logarithmic axis", () => {
  it("ends at 1, 2 or 5 times a power of ten", () => {
    expect(logRange([3, 470], otherwise)).toEqual({ min: 2, max: 500 });
    expect(logRange([0.012, 0.09], otherwise)).toEqual({ min: 0.01, max: 0.1 });
  });

  it("has ticks at 1, 2 and 5", () => {
    expect(logTicks({ min: 20, max: 1000 })).toEqual([20, 50, 100, 200, 500, 1000]);
  });

  it("holds every positive value", () => {
    fc.assert(
      fc.property(fc.array(positive, { minLength: 1 }), (values) => {
        const { min, max } = logRange(values, otherwise);
        // A value within 1e-4 of a tick may lie on it.
        expect(min).toBeLessThanOrEqual(Math.min(...values) * 1.0002);
        expect(max).toBeGreaterThanOrEqual(Math.max(...values) * 0.9998);
        expect(min).toBeLessThan(max);
      }),
    );
  });

  it("has no place for zero, negative, infinite and unknown values", () => {
    expect(logRange([0, -5, null, undefined, Number.POSITIVE_INFINITY, Number.NaN], otherwise)).toBe(otherwise);
  });

  it("has from 2 to 20 ticks, at round numbers inside the range, over any number of decades", () => {
    fc.assert(
      fc.property(positive, positive, (one, other) => {
        const range = logRange([one, other], otherwise);
        const ticks = logTicks(range);
        expect(ticks.length).toBeGreaterThanOrEqual(2);
        expect(ticks.length).toBeLessThanOrEqual(20);
        for (const tick of ticks) {
          expect([1, 2, 3, 5]).toContain(leading(tick));
          expect(tick).toBeGreaterThanOrEqual(range.min * 0.999);
          expect(tick).toBeLessThanOrEqual(range.max * 1.001);
        }
      }),
    );
  });
});
