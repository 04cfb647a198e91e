import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type CalibrationRun, calibrate, FrontierPrediction } from "../src/index.ts";
import { calibratedRun, criticalBatchSize, runOf } from "./simulated-calibration.ts";

const batchSizes = [16, 64, 256, 1024, 4096];
const fitted = (value: number) => ({
  criticalBatchSize: value,
  criticalBatchSizeLow: value / 1.2,
  criticalBatchSizeHigh: value * 1.2,
});

function predicted({ batchSize, steps, inverseNoiseScale }: CalibrationRun, ratio: number): FrontierPrediction {
  const prediction = new FrontierPrediction("b_simple");
  inverseNoiseScale.forEach((x, i) => {
    prediction.add({ low: x / ratio, middle: x / ratio, high: x / ratio }, steps[i] ?? 0, batchSize);
  });
  return prediction;
}

describe("the calibration of a project", () => {
  test("is the factor with which each run of the sweep predicts the fitted critical batch size", () => {
    const runs = batchSizes.map((batchSize, i) => runOf(batchSize, 0.2 + 0.05 * i, 1));
    const found = calibrate(runs, fitted(500));
    if (!found.calibrated) throw new Error(found.reason);
    runs.forEach((run, i) => {
      expect(predicted(run, found.ratios[i] ?? Number.NaN).criticalBatchSize).toBeCloseTo(500, 8);
    });
    const mean = found.ratios.reduce<number>((total, ratio) => total + Math.log(ratio ?? Number.NaN), 0) / runs.length;
    expect(found.ratio).toBeCloseTo(Math.exp(mean), 12);
  });

  test("finds the true ratio of runs that follow the theory, at every batch size", () => {
    const found = calibrate(
      batchSizes.map((batchSize) => runOf(batchSize, 0.2, 1)),
      fitted(criticalBatchSize),
    );
    if (!found.calibrated) throw new Error(found.reason);
    // Steps are whole but for the last, while the closed form of B_crit is an integral: the largest batch has 62 of them.
    for (const ratio of found.ratios) expect(Math.abs((ratio ?? Number.NaN) / 0.2 - 1)).toBeLessThan(0.015);
    expect(found.logScatter).toBeLessThan(0.01);
  });

  test("leaves each run's predicted frontier through the run's own point, whatever the factor", () => {
    const run = runOf(64, 0.2, 1);
    const steps = run.steps.reduce((total, step) => total + step, 0);
    fc.assert(
      fc.property(fc.double({ min: 1e-4, max: 1e4, noNaN: true }), (ratio) => {
        const { minSteps = Number.NaN, minUnits = Number.NaN } = predicted(run, ratio).estimate();
        expect((minSteps + minUnits / 64) / steps).toBeCloseTo(1, 10);
      }),
      { seed: 2 },
    );
  });

  test("does not change with the unit that batch sizes are counted in", () => {
    const runs = batchSizes.map((batchSize, i) => runOf(batchSize, 0.2 + 0.02 * i, 1));
    const inTokens = runs.map((run) => ({
      ...run,
      batchSize: run.batchSize * 512,
      inverseNoiseScale: run.inverseNoiseScale.map((x) => x / 512),
    }));
    const [one, other] = [calibrate(runs, fitted(300)), calibrate(inTokens, fitted(300 * 512))];
    if (!one.calibrated || !other.calibrated) throw new Error("not calibrated");
    expect(other.ratio).toBeCloseTo(one.ratio, 12);
    expect(other.ratioLow).toBeCloseTo(one.ratioLow ?? Number.NaN, 12);
  });

  test("takes steps without any signal as they are, and leaves out a run that has none", () => {
    const dark = { batchSize: 64, steps: Float64Array.of(1, 1), inverseNoiseScale: new Float64Array(2) };
    const runs = batchSizes.map((batchSize) => runOf(batchSize, 0.2, 1));
    const partly = runs.map((run) => ({
      ...run,
      inverseNoiseScale: run.inverseNoiseScale.map((x, i) => (i < 3 ? 0 : x)),
    }));
    const found = calibrate([...partly, dark], fitted(500));
    if (!found.calibrated) throw new Error(found.reason);
    expect(found.ratios.at(-1)).toBeUndefined();
    partly.forEach((run, i) => {
      expect(predicted(run, found.ratios[i] ?? Number.NaN).criticalBatchSize).toBeCloseTo(500, 8);
    });
  });

  test("is a sentence in place of a number where fewer than three batch sizes show a signal", () => {
    const found = calibrate([runOf(16, 0.2, 1), runOf(64, 0.2, 1)], fitted(500));
    expect(found).toEqual({
      calibrated: false,
      reason: "A calibration needs runs with a measured noise scale at 3 batch sizes or more, and there are 2.",
    });
  });

  test("has no end where the frontier has none", () => {
    const runs = batchSizes.map((batchSize) => runOf(batchSize, 0.2, 1));
    const found = calibrate(runs, { ...fitted(500), criticalBatchSizeHigh: undefined });
    expect(found).toMatchObject({ calibrated: true, ratioHigh: undefined });
  });

  test("has no lower end where a run's ratio goes to nothing at the frontier's, and rests both on the same runs", () => {
    // Half of the steps show no signal: a run at batch size B has a ratio only where B_crit is above B.
    const half = Float64Array.from({ length: 40 }, (_, i) => (i < 20 ? 0 : 1 / 400));
    const runs = [16, 64, 256, 1024].map((batchSize) => ({
      batchSize,
      steps: new Float64Array(40).fill(5),
      inverseNoiseScale: half,
    }));
    const all = { criticalBatchSize: 2000, criticalBatchSizeHigh: 4000 };
    for (const criticalBatchSizeLow of [10, 100, 1000]) {
      const found = calibrate(runs, { ...all, criticalBatchSizeLow });
      expect(found).toMatchObject({ calibrated: true, ratioLow: undefined, ratioHigh: expect.any(Number) });
    }
    expect(calibrate(runs, { ...all, criticalBatchSizeLow: 1500 })).toMatchObject({ ratioLow: expect.any(Number) });
    // The largest batch has no ratio at 500, and none that counts at 1500.
    const some = { criticalBatchSize: 500, criticalBatchSizeLow: 450, criticalBatchSizeHigh: 1500 };
    expect(calibrate(runs, some)).toEqual({
      ...calibrate(runs.slice(0, 3), some),
      ratios: [expect.any(Number), expect.any(Number), expect.any(Number), undefined],
    });
  });

  test("gives intervals that hold the next run's critical batch size in at least 19 of 20 projects", () => {
    const projects = 300;
    for (const batchSizeDeviation of [0, 0.3]) {
      const found = Array.from({ length: projects }, (_, i) =>
        calibratedRun({
          seed: 1000 * batchSizeDeviation + i,
          batchSizes: [16, 48, 144, 432, 1296, 3888],
          seeds: 1,
          ratio: 0.2,
          stepDeviation: 0.05,
          batchSizeDeviation,
          errorDeviation: 0.05,
        }),
      ).filter((project) => project !== undefined);
      expect(found.length).toBeGreaterThan(0.99 * projects);
      // Two standard errors of a share of .95 in 300 projects: .025.
      expect(found.filter(({ held }) => held).length / found.length).toBeGreaterThan(0.925);
    }
  });
});

interface ReferenceCalibration {
  readonly batch_sizes: readonly number[];
  readonly steps: readonly (readonly number[])[];
  readonly inverse_noise_scales: readonly (readonly number[])[];
  readonly critical_batch_size: readonly [value: number, low: number, high: number];
  readonly ratios: readonly number[];
  readonly ratio: readonly [value: number, low: number, high: number];
}

// Made by test/oracle/make_reference.py: Brent's method on the predicted frontier, sharing nothing with these sources.
const reference = JSON.parse(
  readFileSync(new URL("../../../test/oracle/reference/calibrations.json", import.meta.url), "utf8"),
) as readonly ReferenceCalibration[];

test.each(reference)("an independent implementation in numpy and scipy finds the same calibration %#", (expected) => {
  const [value, low, high] = expected.critical_batch_size;
  const found = calibrate(
    expected.batch_sizes.map((batchSize, i) => ({
      batchSize,
      steps: Float64Array.from(expected.steps[i] ?? []),
      inverseNoiseScale: Float64Array.from(expected.inverse_noise_scales[i] ?? []),
    })),
    { criticalBatchSize: value, criticalBatchSizeLow: low, criticalBatchSizeHigh: high },
  );
  if (!found.calibrated) throw new Error(found.reason);
  // Brent's method stops at 1e-14 of ln c; the references are written with 12 digits.
  found.ratios.forEach((ratio, i) => {
    expect((ratio ?? Number.NaN) / (expected.ratios[i] ?? Number.NaN)).toBeCloseTo(1, 9);
  });
  expect(found.ratio / expected.ratio[0]).toBeCloseTo(1, 9);
  expect((found.ratioLow ?? Number.NaN) / expected.ratio[1]).toBeCloseTo(1, 9);
  expect((found.ratioHigh ?? Number.NaN) / expected.ratio[2]).toBeCloseTo(1, 9);
});
