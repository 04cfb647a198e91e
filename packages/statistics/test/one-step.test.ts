import { describe, expect, test } from "vitest";
import { covarianceTraceOf, gradientSquaredNormOf, type SquaredNormPair, withoutReplacement } from "../src/index.ts";
import { mean, meanGradient, partGradients, seededUniform, squaredNorm } from "./simulated-run.ts";

const pair = (b: number, small: number, big: number, squared: number): SquaredNormPair => ({
  small: { batchSize: b, meanSquaredNorm: small },
  big: { batchSize: big, squaredNorm: squared },
});

describe("one step's estimates", () => {
  test("give back |G|² and tr Σ from the expectations of both squared norms", () => {
    // E|G_B|² = |G|² + tr Σ/B with |G|² = 3 and tr Σ = 40.
    const exact = pair(8, 3 + 40 / 8, 64, 3 + 40 / 64);
    expect(gradientSquaredNormOf(exact)).toBeCloseTo(3, 12);
    expect(covarianceTraceOf(exact)).toBeCloseTo(40, 12);
  });

  test("are negative where a step happens to be so, and are not clamped", () => {
    expect(gradientSquaredNormOf(pair(1, 10, 2, 4))).toBe(-2);
    expect(covarianceTraceOf(pair(1, 4, 2, 10))).toBe(-12);
  });

  test("are right on average over batches of a finite set of examples, drawn with replacement", () => {
    // Two dimensions, three examples: every batch of two parts of one example each, so the average is exact.
    const examples = [Float64Array.of(1, 0), Float64Array.of(0, 2), Float64Array.of(-1, 1)];
    const center = meanGradient(examples);
    const trace = mean(examples.map((example) => squaredNorm(example.map((value, i) => value - (center[i] ?? 0)))));
    const batches = examples.flatMap((one) => examples.map((other) => [one, other]));
    const pairs = batches.map((batch) => pair(1, mean(batch.map(squaredNorm)), 2, squaredNorm(meanGradient(batch))));
    expect(mean(pairs.map(gradientSquaredNormOf))).toBeCloseTo(squaredNorm(center), 12);
    expect(mean(pairs.map(covarianceTraceOf))).toBeCloseTo(trace, 12);
  });

  test("are right on average for a data set's own gradient without replacement once tr Σ/N is added", () => {
    const examples = [Float64Array.of(1, 0), Float64Array.of(0, 2), Float64Array.of(-1, 1)];
    const center = meanGradient(examples);
    const batches = examples.flatMap((one, i) => examples.filter((_, j) => j !== i).map((other) => [one, other]));
    const pairs = batches.map((batch) => pair(1, mean(batch.map(squaredNorm)), 2, squaredNorm(meanGradient(batch))));
    const plain = mean(pairs.map(gradientSquaredNormOf));
    expect(plain).toBeLessThan(squaredNorm(center));
    const corrected = pairs.map((one) => withoutReplacement(gradientSquaredNormOf(one), covarianceTraceOf(one), 3));
    expect(mean(corrected)).toBeCloseTo(squaredNorm(center), 12);
  });

  test("do not depend on the order of the parts", () => {
    const [parts = []] = partGradients({ seed: 4, steps: 1, bSimple: () => 100 });
    const uniform = seededUniform(9);
    const shuffled = [...parts].map((part) => ({ part, key: uniform() })).sort((one, other) => one.key - other.key);
    const squares = (some: readonly Float64Array[]) =>
      pair(32, mean(some.map(squaredNorm)), 256, squaredNorm(meanGradient(some)));
    // Sums of eight doubles in another order: a few units in the last place.
    const again = squares(shuffled.map(({ part }) => part));
    expect(gradientSquaredNormOf(again)).toBeCloseTo(gradientSquaredNormOf(squares(parts)), 12);
    expect(covarianceTraceOf(again)).toBeCloseTo(covarianceTraceOf(squares(parts)), 12);
  });

  test.each([
    [0, 4],
    [4, 4],
    [8, 4],
    [-1, 4],
    [Number.NaN, 4],
    [4, Number.POSITIVE_INFINITY],
  ])("refuse a small batch of %d in a big one of %d", (small, big) => {
    expect(() => gradientSquaredNormOf(pair(small, 1, big, 1))).toThrow(RangeError);
    expect(() => covarianceTraceOf(pair(small, 1, big, 1))).toThrow(RangeError);
  });

  test("refuse a data set without units", () => {
    expect(() => withoutReplacement(1, 1, 0)).toThrow("datasetUnits must be positive");
  });
});
