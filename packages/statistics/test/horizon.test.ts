import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Horizon, type NoiseScale } from "../src/index.ts";
import { seededNormal } from "./simulated-run.ts";

const finite = fc.double({ min: -5, max: 5, noNaN: true });
const steps = fc.array(fc.tuple(finite, finite), { maxLength: 40 });

function folded(measurements: readonly (readonly [number, number])[], length = 25): Horizon {
  const horizon = new Horizon(length);
  for (const [gradientSquaredNorm, covarianceTrace] of measurements) horizon.add(gradientSquaredNorm, covarianceTrace);
  return horizon;
}

/** Sums in another order differ in the last places; deviations that cancel lose some more. */
function expectSame(one: NoiseScale, other: NoiseScale): void {
  expect(one.identifiable).toBe(other.identifiable);
  for (const key of ["bSimple", "bSimpleLow", "bSimpleHigh", "gradientSquaredNorm", "covarianceTrace"] as const) {
    const [a, b] = [one[key], other[key]];
    if (a === undefined || b === undefined) expect(a).toBe(b);
    else expect(Math.abs(a - b)).toBeLessThanOrEqual(1e-7 * (Math.abs(a) + 1e-3));
  }
}

describe("a horizon", () => {
  test("knows nothing before three measurements, because two leave one degree of freedom at most", () => {
    expect(
      folded([
        [1, 5],
        [1.1, 5.2],
      ]).noiseScale(),
    ).toMatchObject({ bSimple: undefined, bSimpleLow: undefined, gradientSquaredNorm: undefined, identifiable: false });
  });

  test("corrects the first means for their missing past", () => {
    const answer = folded([
      [2, 10],
      [2, 10],
      [2, 10],
    ]).noiseScale();
    expect(answer).toMatchObject({ gradientSquaredNorm: 2, covarianceTrace: 10, bSimple: 5 });
  });

  test("has its length as the effective number of measurements in the long run", () => {
    const constant = Array.from({ length: 2000 }, (): [number, number] => [1, 1]);
    // β^2000 is left of the past.
    expect(folded(constant, 25).effectiveMeasurements).toBeCloseTo(25, 9);
    expect(folded(constant, 200).effectiveMeasurements).toBeCloseTo(200, 5);
  });

  test("of A then B is the merge of the horizon of A and the horizon of B", () => {
    fc.assert(
      fc.property(steps, steps, (first, second) => {
        const merged = folded(first).merge(folded(second));
        const whole = folded([...first, ...second]);
        expect(merged.measurements).toBe(whole.measurements);
        expect(merged.effectiveMeasurements).toBeCloseTo(whole.effectiveMeasurements, 9);
        const [one, other] = [merged.noiseScale(), whole.noiseScale()];
        if (one.gradientSquaredNorm === undefined || other.gradientSquaredNorm === undefined) {
          expect(one.gradientSquaredNorm).toBe(other.gradientSquaredNorm);
        } else {
          expect(one.gradientSquaredNorm).toBeCloseTo(other.gradientSquaredNorm, 9);
          expect(one.covarianceTrace).toBeCloseTo(other.covarianceTrace ?? Number.NaN, 9);
        }
      }),
      { seed: 1 },
    );
  });

  test("merges in any grouping of a run's measurements, intervals included", () => {
    // Correlated neighbours, so that the pairs across the seams count, too.
    const normal = seededNormal(3);
    let away = 0;
    const run = Array.from({ length: 300 }, (): [number, number] => {
      away = 0.8 * away + 0.6 * normal();
      return [0.0025 * (1 + 0.5 * away), 1 + 0.1 * normal()];
    });
    for (const length of [25, 200]) {
      const [a, b, c] = [run.slice(0, 7), run.slice(7, 180), run.slice(180)].map((part) => folded(part, length));
      if (a === undefined || b === undefined || c === undefined) throw new Error("three parts");
      const whole = folded(run, length).noiseScale();
      expectSame(a.merge(b).merge(c).noiseScale(), whole);
      expectSame(a.merge(b.merge(c)).noiseScale(), whole);
      expectSame(new Horizon(length).merge(a).merge(b).merge(c).merge(new Horizon(length)).noiseScale(), whole);
    }
  });

  test("does not merge with one of another length", () => {
    expect(() => new Horizon(25).merge(new Horizon(50))).toThrow("horizons 25 and 50 cannot be merged");
  });

  test("refuses a length of one measurement or less", () => {
    expect(() => new Horizon(1)).toThrow(RangeError);
  });

  test("holds the true noise scale in 95 of 100 runs, where the ratio of means is skewed", () => {
    // 400 runs of 60 measurements, 4 standard errors of .95: ± .044. B_simple/B = 16, where the delta method covers .91.
    let covered = 0;
    for (let seed = 0; seed < 400; seed += 1) {
      const normal = seededNormal(seed);
      const horizon = new Horizon(1600);
      for (let step = 0; step < 60; step += 1) horizon.add(1 / 4096 + (1 / 4096) * 2 * normal(), 1 + 0.1 * normal());
      const { bSimpleLow, bSimpleHigh = Number.POSITIVE_INFINITY } = horizon.noiseScale();
      if (bSimpleLow !== undefined && bSimpleLow <= 4096 && 4096 <= bSimpleHigh) covered += 1;
    }
    expect(covered / 400).toBeGreaterThan(0.95 - 0.044);
    expect(covered / 400).toBeLessThan(0.95 + 0.044);
  });

  test("is wider where neighbours are correlated, so that it still holds the true value", () => {
    // Correlation .8 of neighbours: without widening the interval is a third of what it should be, and holds about half.
    let covered = 0;
    for (let seed = 0; seed < 200; seed += 1) {
      const normal = seededNormal(seed);
      const horizon = new Horizon(1600);
      let away = 0;
      for (let step = 0; step < 400; step += 1) {
        away = 0.8 * away + 0.6 * normal();
        horizon.add(0.01 * (1 + 0.5 * away), 1 + 0.01 * normal());
      }
      const { bSimpleLow = 0, bSimpleHigh = Number.POSITIVE_INFINITY } = horizon.noiseScale();
      if (bSimpleLow <= 100 && 100 <= bSimpleHigh) covered += 1;
    }
    // 4 standard errors at .93: .072.
    expect(covered / 200).toBeGreaterThan(0.93 - 0.072);
  });
});
