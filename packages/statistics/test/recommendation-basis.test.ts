import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type GroupFrontier,
  type MeasuredFrontiers,
  RunEstimator,
  type RunEvidence,
  recommendationBasis,
} from "../src/index.ts";
import { observations } from "./simulated-run.ts";

const unknown = { value: undefined, low: undefined, high: undefined };
const run: RunEvidence = {
  bSimple: { value: 1000, low: 800, high: 1250 },
  bNoise: unknown,
  heldBSimple: 900,
  heldBNoise: undefined,
  bNoiseKnownLately: false,
  smoothedLoss: 0.5,
};
const withBNoise: RunEvidence = { ...run, bNoise: { value: 300, low: 200, high: 450 }, heldBNoise: 290 };
const frontier = (target: string, loss: number, criticalBatchSize: number): GroupFrontier => ({
  target,
  loss,
  criticalBatchSize,
  criticalBatchSizeLow: criticalBatchSize / 2,
  criticalBatchSizeHigh: undefined,
});
const calibration = { ratio: 0.2, ratioLow: 0.1, ratioHigh: 0.4 };

describe("the basis of a recommendation", () => {
  test("is the best that there is: a frontier near the loss, B_noise, B_simple calibrated, B_simple alone", () => {
    const all: MeasuredFrontiers = { calibration, frontiers: [frontier("loss<=0.5", 0.5, 140)] };
    expect(recommendationBasis(withBNoise, all)).toEqual({
      basis: "frontier",
      value: 140,
      low: 70,
      high: undefined,
      held: 140,
      target: "loss<=0.5",
    });
    expect(recommendationBasis(withBNoise, { calibration })).toMatchObject({ basis: "b_noise", value: 300, held: 290 });
    expect(recommendationBasis(run, { calibration })).toMatchObject({
      basis: "b_simple_calibrated",
      value: 200,
      held: 180,
    });
    expect(recommendationBasis(run, {})).toMatchObject({ basis: "b_simple", value: 1000, held: 900, low: 800 });
  });

  test("stays B_noise, without a value, while that is lost for a few of its measurements", () => {
    const lost = { ...withBNoise, bNoise: unknown, bNoiseKnownLately: true };
    expect(recommendationBasis(lost, { calibration })).toMatchObject({ basis: "b_noise", ...unknown, held: undefined });
    expect(recommendationBasis({ ...lost, bNoiseKnownLately: false }, {})).toMatchObject({ basis: "b_simple" });
  });

  test("is the fitted frontier whose loss is nearest in its logarithm, within a quarter", () => {
    const frontiers = [frontier("loss<=1", 1, 90), frontier("loss<=0.5", 0.5, 140), frontier("loss<=0.2", 0.2, 200)];
    const at = (smoothedLoss: number | undefined) =>
      recommendationBasis({ ...run, smoothedLoss }, { frontiers }).target;
    expect(at(0.81)).toBe("loss<=1");
    expect(at(0.79)).toBeUndefined();
    expect(at(0.62)).toBe("loss<=0.5");
    expect(at(0.41)).toBe("loss<=0.5");
    expect(at(0.2)).toBe("loss<=0.2");
    expect(at(undefined)).toBeUndefined();
    const close = [frontier("loss<=1", 1, 90), frontier("loss<=0.9", 0.9, 95)];
    expect(recommendationBasis({ ...run, smoothedLoss: 0.949 }, { frontiers: close }).target).toBe("loss<=1");
    expect(recommendationBasis({ ...run, smoothedLoss: 0.948 }, { frontiers: close }).target).toBe("loss<=0.9");
  });

  test("is no frontier where a loss is not positive", () => {
    expect(recommendationBasis(run, { frontiers: [frontier("reward>=1", -0.5, 90)] }).basis).toBe("b_simple");
  });

  test("adds the calibration's error to that of B_simple as independent factors", () => {
    const { low, high } = recommendationBasis(run, { calibration });
    // ln 2 and ln 1.25 in quadrature.
    const distance = Math.hypot(Math.log(2), Math.log(1.25));
    expect(low).toBeCloseTo(200 * Math.exp(-distance), 10);
    expect(high).toBeCloseTo(200 * Math.exp(distance), 10);
  });

  test("knows no end that either the run or the sweep does not know", () => {
    const open = { ratio: 0.2, ratioLow: 0.1, ratioHigh: undefined };
    expect(recommendationBasis(run, { calibration: open })).toMatchObject({ high: undefined });
    const unbounded = { ...run, bSimple: { value: undefined, low: 800, high: undefined } };
    expect(recommendationBasis(unbounded, { calibration })).toMatchObject({
      value: undefined,
      held: undefined,
      low: 80,
      high: undefined,
    });
  });

  test("always lies inside its own interval", () => {
    const factor = fc.double({ min: 1, max: 50, noNaN: true });
    fc.assert(
      fc.property(factor, factor, factor, factor, (a, b, c, d) => {
        const { value, low, high } = recommendationBasis(
          { ...run, bSimple: { value: 100, low: 100 / a, high: 100 * b } },
          { calibration: { ratio: 0.3, ratioLow: 0.3 / c, ratioHigh: 0.3 * d } },
        );
        expect((low as number) <= (value as number) * (1 + 1e-12)).toBe(true);
        expect((high as number) >= (value as number) * (1 - 1e-12)).toBe(true);
      }),
      { seed: 3 },
    );
  });
});

describe("what sweeps measured", () => {
  const folded = (losses = true): RunEstimator => {
    const estimator = new RunEstimator({ optimizer: "sgd" });
    for (const observation of observations({ seed: 5, steps: 400, bSimple: () => 500 })) {
      estimator.add({ ...observation, loss: losses ? 2 / (1 + observation.step / 40) : undefined });
    }
    return estimator;
  };

  test("changes the recommendation, its trade and the useful share, and nothing of the run's state", () => {
    const estimator = folded();
    const before = estimator.serialize();
    const alone = estimator.estimate();
    const calibrated = estimator.estimate({ calibration });
    expect(estimator.serialize()).toEqual(before);
    expect(alone.recommendation).toMatchObject({ basis: "b_simple", calibrated: false });
    expect(calibrated.recommendation).toMatchObject({ basis: "b_simple_calibrated", calibrated: true });
    const bSimple = alone.bSimple as number;
    expect(calibrated.recommendation.criticalBatchSize).toBeCloseTo(0.2 * bSimple, 8);
    expect(calibrated.efficiency).toBeCloseTo(1 / (1 + 256 / (0.2 * bSimple)), 10);
    expect(calibrated.recommendation.trade).not.toEqual(alone.recommendation.trade);
    expect({ ...calibrated, recommendation: 0, efficiency: 0 }).toEqual({ ...alone, recommendation: 0, efficiency: 0 });
  });

  test("gives a batch size by a fitted frontier near the smoothed loss, which lags the last one by about a tenth of the run", () => {
    const estimator = folded();
    // The average's centre is a tenth behind the last step: 2/(1 + 359/40) = 0.2, and the curve bends upwards.
    const near = estimator.estimate({ frontiers: [frontier("loss<=0.2", 0.2, 128)] });
    expect(near.recommendation).toMatchObject({
      basis: "frontier",
      target: "loss<=0.2",
      calibrated: true,
      batchSize: 128,
      batchSizeLow: 64,
      batchSizeHigh: undefined,
    });
    expect(folded(false).estimate({ frontiers: [frontier("loss<=0.2", 0.2, 128)] }).recommendation.basis).toBe(
      "b_simple",
    );
  });
});
