import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  adamFactors,
  adamLearningRateFactor,
  type CriticalBatchSize,
  efficiency,
  FrontierPrediction,
  heldNoiseScale,
  type RunSettings,
  recommendation,
  recommendedBatchSize,
  sgdLearningRateFactor,
  stepsFactor,
  temperature,
  tradeTable,
  unitsFactor,
} from "../src/index.ts";

/** B_simple now, held at 400. */
const basis = (bSimple: number): CriticalBatchSize => ({
  basis: "b_simple",
  value: bSimple,
  low: bSimple / 2,
  high: 2 * bSimple,
  held: 400,
  target: undefined,
});

describe("the frontier", () => {
  test("lies on (S/S_min − 1)(E/E_min − 1) = 1, with E = S·B", () => {
    const size = fc.double({ min: 0.01, max: 1e8, noNaN: true });
    fc.assert(
      fc.property(size, size, (batchSize, critical) => {
        const [steps, units] = [stepsFactor(batchSize, critical), unitsFactor(batchSize, critical)];
        // E/E_min = S·B/(S_min·B_crit), the same curve, in which nothing cancels.
        expect(Math.abs(units / ((steps * batchSize) / critical) - 1)).toBeLessThan(1e-12);
        expect(efficiency(batchSize, critical)).toBe(1 / units);
      }),
      { seed: 1 },
    );
    expect(stepsFactor(100, 100)).toBe(2);
    expect(unitsFactor(100, 100)).toBe(2);
  });

  test("refuses batch sizes that are not positive", () => {
    expect(() => stepsFactor(0, 10)).toThrow(RangeError);
    expect(() => unitsFactor(10, Number.NaN)).toThrow(RangeError);
  });

  test("is shown for the current and the recommended batch size and their neighbours, in order", () => {
    const rows = tradeTable(100, 400, 400);
    expect(rows.map(({ batchSize, role }) => [batchSize, role])).toEqual([
      [50, "neighbour"],
      [100, "current"],
      [200, "neighbour"],
      [400, "recommended"],
      [800, "neighbour"],
    ]);
    expect(rows[3]).toMatchObject({ stepsFactor: 2, unitsFactor: 2 });
    expect(tradeTable(256, 257, 257).map(({ batchSize }) => batchSize)).toEqual([128, 256, 257, 512]);
    expect(tradeTable(1, 25, 25).map(({ batchSize }) => batchSize)).toEqual([1, 2, 13, 25, 50]);
  });
});

describe("the frontier predicted from a run", () => {
  test("of a constant noise scale has it as the critical batch size, whatever the run's batch size", () => {
    const prediction = new FrontierPrediction("b_simple");
    for (const units of [10, 100, 1000, 10_000])
      prediction.add({ low: 1 / 500, middle: 1 / 400, high: 1 / 300 }, 3, units);
    const { criticalBatchSize, criticalBatchSizeLow, criticalBatchSizeHigh } = prediction.estimate();
    expect(criticalBatchSize).toBeCloseTo(400, 9);
    expect(criticalBatchSizeLow).toBeCloseTo(300, 9);
    expect(criticalBatchSizeHigh).toBeCloseTo(500, 9);
  });

  test("takes the steps and units that were made back to the frontier: S_min and E_min of one step", () => {
    const prediction = new FrontierPrediction("b_simple");
    prediction.add({ low: 1 / 100, middle: 1 / 100, high: 1 / 100 }, 1, 300);
    // One step at three times the noise scale: 1/(1 + 1/3) of the best step, for 300/(1 + 3) units' worth.
    expect(prediction.estimate()).toMatchObject({ minSteps: 0.75, minUnits: 75 });
  });

  test("weighs the early, small noise scale by the progress made there", () => {
    const prediction = new FrontierPrediction("b_simple");
    for (const noiseScale of [100, 10_000]) {
      prediction.add({ low: 1 / noiseScale, middle: 1 / noiseScale, high: 1 / noiseScale }, 1, 100);
    }
    expect(prediction.criticalBatchSize).toBeLessThan((100 + 10_000) / 2);
  });

  test("counts no progress where the signal is below 0, and is unbounded where its lower bound always was", () => {
    const prediction = new FrontierPrediction("b_simple");
    prediction.add({ low: -0.01, middle: 0.001, high: 0.01 }, 1, 100);
    const { minStepsLow, criticalBatchSizeHigh, criticalBatchSize } = prediction.estimate();
    expect(minStepsLow).toBe(0);
    expect(criticalBatchSizeHigh).toBeUndefined();
    expect(criticalBatchSize).toBeCloseTo(1000, 9);
  });
});

describe("the gain of an adaptive schedule", () => {
  const stretches = 2000;

  /** A run in stretches of equal progress, whose noise scale is a function of the optimal steps made. */
  function gainWhere(noiseScaleAt: (optimalSteps: number) => number): number | undefined {
    const prediction = new FrontierPrediction("b_simple");
    const units = 64;
    for (let stretch = 0; stretch < stretches; stretch += 1) {
      const x = 1 / noiseScaleAt((stretch + 0.5) / stretches);
      const progress = (x * units) / (1 + x * units);
      prediction.add({ low: x, middle: x, high: x }, 1 / stretches / progress, units);
    }
    return prediction.estimate().adaptiveGain;
  }

  // The midpoint rule over 2000 stretches leaves less than 1e-4, most of it at the root's steep start.
  test("is 24/25 where the noise scale grows with the root of the steps, and 8/9 where it grows with the steps", () => {
    expect(gainWhere((s) => 100 * Math.sqrt(s))).toBeCloseTo(24 / 25, 4);
    expect(gainWhere((s) => 100 * s)).toBeCloseTo(8 / 9, 4);
  });

  test("is 1 where the noise scale stays as it is, and never above", () => {
    expect(gainWhere(() => 100)).toBeCloseTo(1, 12);
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: -0.01, max: 1, noNaN: true }), { minLength: 1, maxLength: 30 }),
        (inverses) => {
          const prediction = new FrontierPrediction("b_simple");
          for (const x of inverses) prediction.add({ low: x, middle: x, high: x }, 3, 64);
          const { adaptiveGain } = prediction.estimate();
          if (adaptiveGain !== undefined) expect(adaptiveGain).toBeLessThanOrEqual(1 + 1e-12);
        },
      ),
      { seed: 1 },
    );
  });

  test("is unknown while no signal was seen", () => {
    const prediction = new FrontierPrediction("b_simple");
    prediction.add({ low: -1, middle: 0, high: 1 }, 1, 64);
    expect(prediction.estimate().adaptiveGain).toBeUndefined();
  });
});

describe("the recommended batch size", () => {
  const size = fc.double({ min: 0.1, max: 1e7, noNaN: true });
  const maybe = fc.option(fc.double({ min: 1, max: 1e6, noNaN: true }), { nil: undefined });

  test("is the noise scale, or √(r·𝓑) where a step's latency costs r units", () => {
    expect(recommendedBatchSize(400, {})).toBe(400);
    expect(recommendedBatchSize(400, { latencyRatio: 100 })).toBe(200);
  });

  test("keeps the limits, and is a multiple wherever one lies inside them", () => {
    const whole = fc.integer({ min: 1, max: 512 });
    fc.assert(
      fc.property(size, whole, maybe, maybe, (noiseScale, batchMultiple, one, other) => {
        const crossed = one !== undefined && other !== undefined && one > other;
        const [batchMin, batchMax] = crossed ? [other, one] : [one, other];
        const batchSize = recommendedBatchSize(noiseScale, { batchMultiple, batchMin, batchMax });
        const [least, most] = [batchMin ?? 0, batchMax ?? Number.POSITIVE_INFINITY];
        expect(batchSize).toBeGreaterThanOrEqual(least);
        expect(batchSize).toBeLessThanOrEqual(most);
        const first = Math.max(Math.ceil(least / batchMultiple), 1) * batchMultiple;
        if (first <= most) expect(batchSize % batchMultiple).toBe(0);
      }),
      { seed: 1 },
    );
  });

  const wide = (value: number) => ({ value, low: value / 2, high: value * 2 });

  test("is held until the noise scale behind it is off by more than a quarter, and while that is unknown", () => {
    expect(heldNoiseScale(undefined, wide(400))).toBe(400);
    expect(heldNoiseScale(400, wide(499))).toBe(400);
    expect(heldNoiseScale(400, wide(321))).toBe(400);
    expect(heldNoiseScale(400, wide(501))).toBe(501);
    expect(heldNoiseScale(400, wide(319))).toBe(319);
    expect(heldNoiseScale(400, { value: undefined, low: 500, high: undefined })).toBe(400);
  });

  test("is released where the interval of the noise scale no longer holds it, however near that is", () => {
    expect(heldNoiseScale(400, { value: 440, low: 400, high: 480 })).toBe(400);
    expect(heldNoiseScale(400, { value: 440, low: 401, high: 480 })).toBe(440);
    expect(heldNoiseScale(400, { value: 360, low: 320, high: 399 })).toBe(360);
    expect(heldNoiseScale(400, { value: 360, low: 320, high: undefined })).toBe(400);
  });

  test("does not flap between two multiples where the noise scale hovers between them", () => {
    let held: number | undefined;
    const sizes = Array.from({ length: 200 }, (_, step) => {
      held = heldNoiseScale(held, wide(80 + 7 * Math.sin(step)));
      return recommendedBatchSize(held as number, { batchMultiple: 32 });
    });
    expect(new Set(sizes).size).toBe(1);
  });

  test("gives way to new limits while it is held", () => {
    const answer = (settings: RunSettings) => recommendation(basis(410), 100, settings).batchSize;
    expect(answer({ batchMax: 384 })).toBe(384);
    expect(answer({ batchMultiple: 64 })).toBe(384);
    expect(answer({ batchMultiple: 100 })).toBe(400);
  });

  test("comes with its bounds, the learning rate and the trade", () => {
    const answer = recommendation(basis(400), 100, { optimizer: "sgd" });
    expect(answer).toMatchObject({ batchSize: 400, batchSizeLow: 200, batchSizeHigh: 800, basis: "b_simple" });
    expect(answer.calibrated).toBe(false);
    expect(answer.learningRateFactor).toBe(2.5);
    expect(answer.trade).toHaveLength(5);
  });

  test("has no learning rate for an optimizer that is not known", () => {
    expect(recommendation(basis(400), 100, {}).learningRateFactor).toBeUndefined();
    expect(recommendation(basis(400), 100, { optimizer: "other" }).learningRateFactor).toBeUndefined();
  });

  test("has Adam's learning rate steadily while it is held, on either side of the noise scale", () => {
    for (const bSimple of [330, 399, 401, 490]) {
      expect(recommendation(basis(bSimple), 100, { optimizer: "adam" }).learningRateFactor).toBe(2);
    }
  });
});

describe("what goes with Adam's learning rate", () => {
  test("averages the moments over as many units as before, and keeps ε beside the root of the second moment", () => {
    expect(adamFactors(64, 256)).toEqual({ oneMinusBetaFactor: 4, epsilonFactor: 0.5 });
    // A moment with β remembers 1/(1 − β) steps.
    const units = (batchSize: number, oneMinusBeta: number) => batchSize / oneMinusBeta;
    const { oneMinusBetaFactor } = adamFactors(96, 160);
    expect(units(160, 0.001 * oneMinusBetaFactor)).toBeCloseTo(units(96, 0.001), 6);
  });

  test("is told where the rate's factor is, and to no other optimizer", () => {
    const at = (bSimple: number, optimizer: RunSettings["optimizer"]) =>
      recommendation(basis(bSimple), 100, { optimizer }).adam;
    expect(at(400, "adam")).toEqual({ oneMinusBetaFactor: 4, epsilonFactor: 0.5 });
    expect(at(200, "adam")).toBeUndefined();
    expect(at(400, "sgd")).toBeUndefined();
    expect(at(400, undefined)).toBeUndefined();
  });
});

describe("the learning rate for another batch size", () => {
  test("of SGD goes with the batch size where noise dominates, and stops where it does not", () => {
    expect(sgdLearningRateFactor(1, 2, 1e9)).toBeCloseTo(2, 8);
    expect(sgdLearningRateFactor(1e9, 2e9, 1)).toBeCloseTo(1, 8);
    expect(sgdLearningRateFactor(100, 300, 300)).toBe(2);
  });

  test("of SGD there and back again is as it was", () => {
    expect(sgdLearningRateFactor(64, 512, 300) * sgdLearningRateFactor(512, 64, 300)).toBeCloseTo(1, 14);
  });

  test("of Adam-like optimizers goes with the root, only below the noise scale", () => {
    expect(adamLearningRateFactor(64, 256, 1000)).toBe(2);
    expect(adamLearningRateFactor(64, 2000, 1000)).toBeUndefined();
    expect(adamLearningRateFactor(2000, 64, 1000)).toBeUndefined();
  });

  test("keeps the temperature where it goes with the batch size", () => {
    expect(temperature(0.1, 64)).toBe(temperature(0.2, 128));
    expect(temperature(0.1, 64, "adam")).toBe(temperature(0.2, 256, "adam"));
  });
});
