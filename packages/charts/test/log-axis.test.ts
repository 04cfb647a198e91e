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

  it("has more of them over less than a decade", () => {
    expect(logTicks({ min: 0.22, max: 1.98 })).toEqual([0.3, 0.4, 0.5, 0.7, 1, 1.5]);
  });

  it("has ticks at even distances where it is shorter than three of these", () => {
    expect(logTicks({ min: 2.8, max: 3.4 })).toEqual([2.8, 2.9, 3, 3.1, 3.2, 3.3, 3.4]);
    expect(logTicks({ min: 2.8, max: 3 })).toEqual([2.8, 2.85, 2.9, 2.95, 3]);
  });

  it("has from 3 to 20 ticks inside any range, also one that ends between round numbers", () => {
    const factor = fc.double({ min: 1.001, max: 1e9, noNaN: true });
    fc.assert(
      fc.property(fc.double({ min: 1e-20, max: 1e20, noNaN: true }), factor, (min, times) => {
        const ticks = logTicks({ min, max: min * times });
        expect(ticks.length).toBeGreaterThanOrEqual(3);
        expect(ticks.length).toBeLessThanOrEqual(20);
        for (const tick of ticks) {
          expect(tick).toBeGreaterThanOrEqual(min * 0.998);
          expect(tick).toBeLessThanOrEqual(min * times * 1.002);
        }
      }),
      { seed: 3 },
    );
  });

  it("has from 3 to 20 ticks, at round numbers inside the range, over any number of decades", () => {
    fc.assert(
      fc.property(positive, positive, (one, other) => {
        const range = logRange([one, other], otherwise);
        const ticks = logTicks(range);
        expect(ticks.length).toBeGreaterThanOrEqual(3);
        expect(ticks.length).toBeLessThanOrEqual(20);
        for (const tick of ticks) {
          // A range of two round numbers has ticks between them.
          if (range.max / range.min < 4.5) continue;
          expect([1, 2, 3, 5]).toContain(leading(tick));
          expect(tick).toBeGreaterThanOrEqual(range.min * 0.999);
          expect(tick).toBeLessThanOrEqual(range.max * 1.001);
        }
      }),
    );
  });
});
