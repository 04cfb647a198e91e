import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { type FittedFrontier, fitFrontier } from "../src/index.ts";

interface ReferenceFit {
  readonly batch_sizes: readonly number[];
  readonly steps: readonly number[];
  readonly min_steps: number;
  readonly min_units: number;
  readonly critical_batch_size: number;
  readonly rms_log_residual: number;
  readonly intervals: Readonly<Record<"min_steps" | "min_units" | "critical_batch_size", readonly [number, number]>>;
}

// Made by test/oracle/make_reference.py: scipy's least squares in both parameters, sharing nothing with these sources.
const reference = JSON.parse(
  readFileSync(new URL("../../../test/oracle/reference/frontier-fits.json", import.meta.url), "utf8"),
) as Readonly<Record<"residuals" | "seeds", readonly ReferenceFit[]>>;

function fit({ batch_sizes, steps }: ReferenceFit): FittedFrontier {
  const found = fitFrontier(batch_sizes.map((batchSize, i) => ({ batchSize, steps: steps[i] })));
  if (!found.fitted) throw new Error(found.reason);
  return found;
}

const ends = (found: FittedFrontier): [string, number | undefined, number | undefined][] => [
  ["min_steps", found.minStepsLow, found.minStepsHigh],
  ["min_units", found.minUnitsLow, found.minUnitsHigh],
  ["critical_batch_size", found.criticalBatchSizeLow, found.criticalBatchSizeHigh],
];

describe("an independent implementation in numpy and scipy", () => {
  test.each([...reference.residuals, ...reference.seeds])("finds the same curve %#", (expected) => {
    const found = fit(expected);
    // scipy stops where the sum of squares stands still, which is half of its digits away from the minimum
    expect(found.minSteps / expected.min_steps - 1).toBeCloseTo(0, 6);
    expect(found.minUnits / expected.min_units - 1).toBeCloseTo(0, 6);
    expect(found.criticalBatchSize / expected.critical_batch_size - 1).toBeCloseTo(0, 6);
    expect(found.rmsLogResidual / expected.rms_log_residual - 1).toBeCloseTo(0, 9);
  });

  test.each(reference.residuals)("finds the same ends of the intervals from residuals %#", (expected) => {
    const found = fit(expected);
    expect(found.intervals).toBe("residuals");
    for (const [name, low, high] of ends(found)) {
      const [expectedLow, expectedHigh] = expected.intervals[name as keyof ReferenceFit["intervals"]];
      expect(Number(low) / expectedLow - 1, name).toBeCloseTo(0, 6);
      expect(Number(high) / expectedHigh - 1, name).toBeCloseTo(0, 6);
    }
  });

  // Its draws are others: a .025 quantile of 1999 replicates has an error of .06 standard deviations, a sixtieth of the
  // interval. Four times that are allowed.
  test.each(reference.seeds)("finds about the same ends of the intervals from seeds %#", (expected) => {
    const found = fit(expected);
    expect(found.intervals).toBe("seeds");
    for (const [name, low, high] of ends(found)) {
      const [expectedLow, expectedHigh] = expected.intervals[name as keyof ReferenceFit["intervals"]];
      const width = Math.log(expectedHigh / expectedLow);
      expect(Math.abs(Math.log(Number(low) / expectedLow)) / width, name).toBeLessThan(4 / 60);
      expect(Math.abs(Math.log(Number(high) / expectedHigh)) / width, name).toBeLessThan(4 / 60);
    }
  });
});
