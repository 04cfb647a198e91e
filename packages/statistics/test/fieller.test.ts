import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fiellerSet, noiseScaleOfSet, type RatioMoments } from "../src/index.ts";

const moments = (numerator: number, denominator: number, sd: number, correlation = 0): RatioMoments => ({
  numerator,
  denominator,
  numeratorVariance: sd * sd,
  denominatorVariance: sd * sd,
  covariance: correlation * sd * sd,
});

describe("Fieller's set", () => {
  test("is an interval around the ratio where the denominator is told from 0", () => {
    // (6 − 2x)² ≤ 4·0.01·(1 + x²): roots of 3.96x² − 24x + 35.96.
    const set = fiellerSet(moments(6, 2, 0.1), 2);
    const root = Math.sqrt(12 * 12 - 3.96 * 35.96);
    expect(set.kind).toBe("interval");
    if (set.kind !== "interval") return;
    expect(set.low).toBeCloseTo((12 - root) / 3.96, 12);
    expect(set.high).toBeCloseTo((12 + root) / 3.96, 12);
  });

  test("is the outside of an interval where the denominator may be 0 and the numerator not", () => {
    const set = fiellerSet(moments(5, 0.5, 1), 2);
    expect(set.kind).toBe("outside");
    if (set.kind !== "outside") return;
    expect(set.below).toBeLessThan(0);
    expect(set.above).toBeGreaterThan(0);
    expect(set.above).toBeLessThan(10);
  });

  test("is a half-line where the denominator lies exactly on the edge", () => {
    expect(fiellerSet(moments(5, 2, 1), 2)).toEqual({ kind: "outside", below: Number.NEGATIVE_INFINITY, above: 1.05 });
    expect(fiellerSet(moments(-5, 2, 1), 2)).toEqual({
      kind: "outside",
      below: -1.05,
      above: Number.POSITIVE_INFINITY,
    });
  });

  test("is the whole line where both may be 0", () => {
    expect(fiellerSet(moments(0.5, 0.5, 1), 2)).toEqual({ kind: "line" });
  });

  test("is one point where nothing varies", () => {
    expect(fiellerSet(moments(6, 2, 0), 2)).toEqual({ kind: "interval", low: 3, high: 3 });
    expect(fiellerSet(moments(0, 2, 0), 2)).toEqual({ kind: "interval", low: 0, high: 0 });
  });

  test("holds a ratio exactly where its residual is within t standard deviations", () => {
    const value = fc.double({ min: -10, max: 10, noNaN: true });
    const spread = fc.double({ min: 0.01, max: 3, noNaN: true });
    const correlation = fc.double({ min: -0.99, max: 0.99, noNaN: true });
    fc.assert(
      fc.property(value, value, spread, correlation, value, (numerator, denominator, sd, rho, x) => {
        const given = moments(numerator, denominator, sd, rho);
        const excess = (numerator - x * denominator) ** 2 - 4 * sd * sd * (1 - 2 * x * rho + x * x);
        fc.pre(Math.abs(excess) > 1e-9); // on the edge rounding decides
        const set = fiellerSet(given, 2);
        const inside =
          set.kind === "line" ||
          (set.kind === "interval" ? set.low <= x && x <= set.high : x <= set.below || x >= set.above);
        expect(inside).toBe(excess < 0);
      }),
      { seed: 1 },
    );
  });

  test("scales with the units of numerator and denominator, over hundreds of orders of magnitude", () => {
    fc.assert(
      fc.property(fc.integer({ min: -400, max: 400 }), fc.integer({ min: -400, max: 400 }), (up, down) => {
        const [a, b] = [2 ** up, 2 ** down];
        const set = fiellerSet(
          {
            numerator: 3 * a,
            denominator: 5 * b,
            numeratorVariance: 0.1 * a * a,
            denominatorVariance: 0.2 * b * b,
            covariance: 0.05 * a * b,
          },
          2,
        );
        const plain = fiellerSet(
          { numerator: 3, denominator: 5, numeratorVariance: 0.1, denominatorVariance: 0.2, covariance: 0.05 },
          2,
        );
        if (set.kind !== "interval" || plain.kind !== "interval") throw new Error("not an interval");
        expect((set.low / a) * b).toBe(plain.low);
        expect((set.high / a) * b).toBe(plain.high);
      }),
      { seed: 1 },
    );
  });
});

describe("the noise scale of a set of |G|²/tr Σ", () => {
  test("is bounded on both sides where the set lies above 0", () => {
    expect(noiseScaleOfSet({ kind: "interval", low: 0.001, high: 0.004 }, 0.02, 10)).toMatchObject({
      bSimple: 500,
      bSimpleLow: 250,
      bSimpleHigh: 1000,
      identifiable: true,
      invalid: false,
    });
  });

  test("has only a lower bound where the set holds 0", () => {
    expect(noiseScaleOfSet({ kind: "interval", low: -0.001, high: 0.004 }, 0.015, 10)).toMatchObject({
      bSimple: undefined,
      bSimpleLow: 250,
      bSimpleHigh: undefined,
      identifiable: false,
      invalid: false,
    });
  });

  test("is invalid, without a number, where the set lies below 0 or tr Σ does", () => {
    for (const answer of [
      noiseScaleOfSet({ kind: "interval", low: -0.004, high: -0.001 }, -0.02, 10),
      noiseScaleOfSet({ kind: "interval", low: -0.004, high: -0.001 }, 0.02, -10),
    ]) {
      expect(answer).toMatchObject({
        bSimple: undefined,
        bSimpleLow: undefined,
        bSimpleHigh: undefined,
        invalid: true,
      });
    }
  });

  test.each([{ kind: "line" } as const, { kind: "outside", below: -1, above: 2 } as const])(
    "is unknown where tr Σ may be 0 ($kind)",
    (set) => {
      expect(noiseScaleOfSet(set, 1, 0.1)).toEqual({
        bSimple: undefined,
        bSimpleLow: undefined,
        bSimpleHigh: undefined,
        identifiable: false,
        invalid: false,
        gradientSquaredNorm: 1,
        covarianceTrace: 0.1,
      });
    },
  );
});
