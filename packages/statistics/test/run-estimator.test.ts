import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { horizonLengths, type NoiseScale, type Observation, RunEstimator, StateVersionError } from "../src/index.ts";
import { observations, seededUniform } from "./simulated-run.ts";

const run = observations({ seed: 21, steps: 400, bSimple: (step) => 150 + 2 * step });

/** Every squared norm is cut among the layers, in the same shares for small and big. */
function withLayers(observation: Observation, shares: ReadonlyMap<string, number>): Observation {
  const { small, big } = observation;
  return {
    ...observation,
    layers: new Map(
      [...shares].map(([name, share]) => [name, [share * small.meanSquaredNorm, share * big.squaredNorm] as const]),
    ),
  };
}

function fold(some: readonly Observation[], settings = {}): RunEstimator {
  const estimator = new RunEstimator(settings);
  for (const observation of some) estimator.add(observation);
  return estimator;
}

describe("a run's estimator", () => {
  test("knows nothing before the first measurement", () => {
    const estimate = new RunEstimator({}).estimate();
    expect(estimate).toMatchObject({
      step: undefined,
      batchSize: undefined,
      measurements: 0,
      missingMeasurements: 20,
      outliers: 0,
      bSimple: undefined,
      bSimpleLow: undefined,
      identifiable: false,
      invalid: false,
    });
    expect(estimate.predicted.criticalBatchSize).toBeUndefined();
    expect(estimate.recommendation).toMatchObject({ batchSize: undefined, trade: [], calibrated: false });
    expect(estimate.horizons.map(({ horizon }) => horizon)).toEqual(horizonLengths);
  });

  test("answers after each measurement what the whole estimate says", () => {
    const estimator = new RunEstimator({ batchMultiple: 32, batchMax: 1024 });
    for (const observation of run) {
      const point = estimator.add(observation);
      const estimate = estimator.estimate();
      const { step, batchSize, bSimple, bSimpleLow, bSimpleHigh, efficiency } = estimate;
      expect(point).toMatchObject({ step, batchSize, bSimple, bSimpleLow, bSimpleHigh, efficiency });
      expect(point.criticalBatchSize).toBe(estimate.predicted.criticalBatchSize);
      expect(point.recommendedBatchSize).toBe(estimate.recommendation.batchSize);
    }
  });

  test("orders low, value and high, in the headline, the horizons, the frontier and the recommendation", () => {
    const estimator = new RunEstimator({});
    for (const observation of run) {
      estimator.add(observation);
      const { horizons, predicted, recommendation, ...headline } = estimator.estimate();
      for (const { bSimpleLow = 0, bSimple, bSimpleHigh = Number.POSITIVE_INFINITY } of [headline, ...horizons]) {
        if (bSimple === undefined) continue;
        expect(bSimpleLow).toBeLessThanOrEqual(bSimple);
        expect(bSimple).toBeLessThanOrEqual(bSimpleHigh);
      }
      const { minSteps, minStepsLow = 0, minStepsHigh = 0, criticalBatchSizeLow = 0, criticalBatchSize } = predicted;
      if (minSteps === undefined || criticalBatchSize === undefined) continue;
      expect(minStepsLow).toBeLessThanOrEqual(minSteps);
      expect(minSteps).toBeLessThanOrEqual(minStepsHigh);
      expect(criticalBatchSizeLow).toBeLessThanOrEqual(criticalBatchSize);
      expect(criticalBatchSize).toBeLessThanOrEqual(predicted.criticalBatchSizeHigh ?? Number.POSITIVE_INFINITY);
      expect(recommendation.batchSizeLow).toBeLessThanOrEqual(recommendation.batchSizeHigh ?? Number.POSITIVE_INFINITY);
    }
  });

  test("recommends a batch size inside the interval of the recommendation, after every measurement", () => {
    for (const [seed, settings] of [{}, { batchMultiple: 32 }, { latencyRatio: 4 }].entries()) {
      const estimator = new RunEstimator(settings);
      const growing = (step: number): number => (step < 1000 ? 256 : 256 * 4 ** ((step - 1000) / 1000));
      for (const observation of observations({ seed, steps: 2000, bSimple: growing })) {
        estimator.add(observation);
        const { batchSize, batchSizeLow = 0, batchSizeHigh = 0 } = estimator.estimate().recommendation;
        if (batchSize === undefined) continue;
        expect(batchSize).toBeGreaterThanOrEqual(batchSizeLow);
        expect(batchSize).toBeLessThanOrEqual(batchSizeHigh);
      }
    }
  });

  test("gives the same bits from the same measurements, in one pass or resumed from its bytes anywhere", () => {
    const shares = new Map([
      ["dense/kernel", 0.5],
      ["__proto__", 0.3],
      ["\ud800 <img src=x>", 0.2],
    ]);
    const layered = run.map((observation) => withLayers(observation, shares));
    const whole = fold(layered).serialize();
    expect(fold(layered).serialize()).toEqual(whole);
    for (const cut of [0, 1, 19, 20, 200]) {
      const resumed = RunEstimator.deserialize(fold(layered.slice(0, cut)).serialize(), {});
      const first = resumed.estimate();
      expect(first).toEqual(fold(layered.slice(0, cut)).estimate());
      for (const observation of layered.slice(cut)) resumed.add(observation);
      expect(resumed.serialize()).toEqual(whole);
    }
  });

  test("holds as many bytes after 400 measurements as after 30", () => {
    expect(fold(run).serialize().length).toBe(fold(run.slice(0, 30)).serialize().length);
  });

  test("holds no more while it cannot start", () => {
    const without = run.map(({ big, ...rest }) => ({ ...rest, big: { ...big, squaredNorm: 100 } }));
    expect(fold(without).estimate()).toMatchObject({ invalid: true, bSimple: undefined });
    expect(fold(without).serialize().length).toBe(fold(without.slice(0, 20)).serialize().length);
  });

  test("refuses bytes of another version, so that the run is folded again", () => {
    const bytes = fold(run.slice(0, 30)).serialize();
    new DataView(bytes.buffer).setFloat64(0, RunEstimator.stateVersion + 1, true);
    expect(() => RunEstimator.deserialize(bytes, {})).toThrow(StateVersionError);
  });

  test.each<[string, Partial<Observation>, string]>([
    ["a step that was there", { step: 5 }, "step must be a whole number above 5"],
    ["a step that is not whole", { step: 6.5 }, "step must be a whole number"],
    ["no units", { units: 0 }, "units must be positive"],
    ["infinite units", { units: Number.POSITIVE_INFINITY }, "units must be positive"],
    ["a small batch as large as the big one", { small: { batchSize: 256, meanSquaredNorm: 1 } }, "small.batchSize"],
    ["a negative squared norm", { big: { batchSize: 256, squaredNorm: -1 } }, "squared norms must not be negative"],
    ["squares that overflow", { big: { batchSize: 256, squaredNorm: 1e160 } }, "are not finite"],
  ])("refuses %s, and stays as it was", (_, change, message) => {
    const estimator = fold(run.slice(0, 6));
    const before = estimator.serialize();
    const next = run[6];
    if (next === undefined) throw new Error("no observation");
    expect(() => estimator.add({ ...next, ...change })).toThrow(RangeError);
    expect(() => estimator.add({ ...next, ...change })).toThrow(message);
    expect(estimator.serialize()).toEqual(before);
  });

  test.each([
    [{ datasetUnits: 0 }, "datasetUnits must be positive"],
    [{ batchMultiple: -8 }, "batchMultiple must be positive"],
    [{ latencyRatio: Number.NaN }, "latencyRatio must be positive"],
    [{ batchMin: 64, batchMax: 32 }, "batchMin 64 is above batchMax 32"],
  ])("refuses the settings %o", (settings, message) => {
    expect(() => new RunEstimator(settings)).toThrow(message);
  });

  test("finds parts of the whole: layers' tr Σ and |G|² sum to the total's, their shares to 1, the largest first", () => {
    const weights = fc.array(fc.double({ min: 0.01, max: 1, noNaN: true }), { minLength: 1, maxLength: 40 });
    fc.assert(
      fc.property(weights, fc.integer({ min: 1, max: 1e6 }), (own, seed) => {
        const uniform = seededUniform(seed);
        const layered = run.slice(0, 120).map((observation) => {
          const wobbling = own.map((weight) => weight * (0.5 + uniform()));
          const sum = wobbling.reduce((total, weight) => total + weight, 0);
          return withLayers(observation, new Map(wobbling.map((weight, layer) => [`layer ${layer}`, weight / sum])));
        });
        const { layers, horizons } = fold(layered).estimate();
        const whole = horizons.find(({ horizon }) => horizon === 200);
        const sum = (key: "gradientSquaredNorm" | "covarianceTrace" | "covarianceTraceShare"): number =>
          [...layers.values()].reduce((total, layer) => total + (layer[key] ?? Number.NaN), 0);
        expect(layers.size).toBe(own.length);
        expect(sum("gradientSquaredNorm") / (whole?.gradientSquaredNorm ?? 0)).toBeCloseTo(1, 9);
        expect(sum("covarianceTrace") / (whole?.covarianceTrace ?? 0)).toBeCloseTo(1, 9);
        expect(sum("covarianceTraceShare")).toBeCloseTo(1, 12);
        const shares = [...layers.values()].map(({ covarianceTraceShare: share }) => share ?? Number.NaN);
        expect(shares).toEqual(shares.toSorted((one, other) => other - one));
      }),
      { seed: 5, numRuns: 20 },
    );
  });

  test("keeps layers that come late or stay away, under any name", () => {
    const some = run.map((observation, step) => {
      const shares = new Map([["always", 0.5]]);
      if (step < 100) shares.set("constructor", 0.5);
      if (step >= 300) shares.set("__proto__", 0.5);
      return withLayers(observation, shares);
    });
    const { layers } = fold(some).estimate();
    expect([...layers.keys()].sort()).toEqual(["__proto__", "always", "constructor"]);
    for (const layer of layers.values()) expect(layer.covarianceTrace).toBeGreaterThan(0);
  });

  test("sees a larger |G|² in a data set that is drawn without replacement, by tr Σ/N", () => {
    const [plain, finite] = [fold(run), fold(run, { datasetUnits: 1000 })].map((one) => one.estimate().horizons[3]);
    if (plain === undefined || finite === undefined) throw new Error("no horizon");
    const { gradientSquaredNorm = 0, covarianceTrace = 0 } = plain;
    expect(finite.gradientSquaredNorm).toBeCloseTo(gradientSquaredNorm + covarianceTrace / 1000, 12);
  });

  test("answers the same noise scales where all gradients are rescaled, and others in the new unit where that changes", () => {
    const plain = fold(run).estimate();
    const scale = ({ bSimple, bSimpleLow, bSimpleHigh }: NoiseScale) => [bSimple, bSimpleLow, bSimpleHigh];
    const times = (factor: number) => (value: number | undefined) => (value === undefined ? undefined : factor * value);
    // Powers of 2, with which scaling itself does not round.
    const exponent = fc.integer({ min: -100, max: 100 });
    fc.assert(
      fc.property(exponent, exponent, (gradient, unit) => {
        const changed = run.map(({ small, big, units, ...rest }) => ({
          ...rest,
          units: units * 2 ** unit,
          small: { batchSize: small.batchSize * 2 ** unit, meanSquaredNorm: small.meanSquaredNorm * 2 ** gradient },
          big: { batchSize: big.batchSize * 2 ** unit, squaredNorm: big.squaredNorm * 2 ** gradient },
        }));
        const estimate = fold(changed).estimate();
        expect(scale(estimate)).toEqual(scale(plain).map(times(2 ** unit)));
        estimate.horizons.forEach((horizon, index) => {
          expect(scale(horizon)).toEqual(scale(plain.horizons[index] ?? horizon).map(times(2 ** unit)));
        });
        expect(estimate.predicted.minSteps).toBe(plain.predicted.minSteps);
        expect(estimate.predicted.criticalBatchSize).toBe(times(2 ** unit)(plain.predicted.criticalBatchSize));
      }),
      { seed: 1, numRuns: 20 },
    );
  });

  test("counts the steps between measurements in the predicted frontier", () => {
    const every = fold(run).estimate().predicted;
    const sparse = fold(run.map((observation) => ({ ...observation, step: 10 * observation.step }))).estimate()
      .predicted;
    // The first measurement counts for one step in both.
    expect(sparse.minSteps).toBeGreaterThan(9.9 * (every.minSteps ?? Number.NaN));
    expect(sparse.minSteps).toBeLessThan(10 * (every.minSteps ?? Number.NaN));
    expect(sparse.criticalBatchSize).toBeCloseTo(every.criticalBatchSize ?? Number.NaN, -1);
  });
});
