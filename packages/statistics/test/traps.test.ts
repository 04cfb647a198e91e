import { describe, expect, test } from "vitest";
import {
  covarianceTraceOf,
  gradientSquaredNormOf,
  Horizon,
  type Observation,
  RunEstimator,
  type SquaredNormPair,
} from "../src/index.ts";
import { mean, meanGradient, observations, partGradients, squaredNorm } from "./simulated-run.ts";

// Errors that published implementations of the noise scale made. Each test shows that the right reading holds the truth
// and that the wrong one would not.

const truth = 500;
const run = { seed: 12, steps: 600, bSimple: () => truth, dimensions: 400 };
const gradients = [...partGradients(run)];
const holds = (scale: { bSimpleLow: number | undefined; bSimpleHigh: number | undefined }): boolean =>
  scale.bSimpleLow !== undefined &&
  scale.bSimpleLow <= truth &&
  truth <= (scale.bSimpleHigh ?? Number.POSITIVE_INFINITY);

function averaged(pairs: readonly SquaredNormPair[]): Horizon {
  const horizon = new Horizon(1600);
  for (const pair of pairs) horizon.add(gradientSquaredNormOf(pair), covarianceTraceOf(pair));
  return horizon;
}

function read(read: (parts: readonly Float64Array[]) => { small: number; big: number }): SquaredNormPair[] {
  return gradients.map((parts) => {
    const { small, big } = read(parts);
    return { small: { batchSize: 32, meanSquaredNorm: small }, big: { batchSize: 256, squaredNorm: big } };
  });
}
const right = (parts: readonly Float64Array[]) => ({
  small: mean(parts.map(squaredNorm)),
  big: squaredNorm(meanGradient(parts)),
});

describe("against known traps", () => {
  test("the mean of squared norms holds the truth", () => {
    expect(holds(averaged(read(right)).noiseScale())).toBe(true);
  });

  test("the squared mean of norms is not the mean of squared norms", () => {
    const sizes = [1, 9];
    expect(mean(sizes.map((size) => size * size))).toBe(41);
    // Parts whose norms differ make the wrong reading smaller: tr Σ too low and |G|² too high.
    const wrong = read((parts) => ({
      ...right(parts),
      small: mean(parts.map((part) => Math.sqrt(squaredNorm(part)))) ** 2,
    }));
    const [low, correct] = [averaged(wrong).noiseScale(), averaged(read(right)).noiseScale()];
    expect(low.covarianceTrace).toBeLessThan(correct.covarianceTrace ?? 0);
    expect(low.gradientSquaredNorm).toBeGreaterThan(correct.gradientSquaredNorm ?? Number.POSITIVE_INFINITY);
  });

  test("a loss-scaled small norm beside an unscaled large one is told as invalid, not given as a number", () => {
    const scaled = read((parts) => ({ ...right(parts), small: 1024 ** 2 * right(parts).small }));
    expect(averaged(scaled).noiseScale()).toMatchObject({ invalid: true, bSimple: undefined });
  });

  test("a large norm that is larger than the parts' allow is told as invalid, by horizons and by the headline", () => {
    const scaled = read((parts) => ({ ...right(parts), big: 1024 ** 2 * right(parts).big }));
    expect(averaged(scaled).noiseScale()).toMatchObject({ invalid: true, bSimple: undefined });
    const estimator = new RunEstimator({});
    scaled.forEach((pair, step) => {
      estimator.add({ ...pair, step, units: 256 });
    });
    expect(estimator.estimate()).toMatchObject({ invalid: true, bSimple: undefined, bSimpleLow: undefined });
  });

  test("negative one-step signals are kept: leaving them out or clamping them would lower the noise scale", () => {
    const hidden = { ...run, bSimple: () => 20_000 };
    const pairs = observations(hidden);
    expect(pairs.some((pair) => gradientSquaredNormOf(pair) < 0)).toBe(true);
    const { bSimpleLow = Number.POSITIVE_INFINITY, bSimpleHigh = Number.POSITIVE_INFINITY } =
      averaged(pairs).noiseScale();
    expect(bSimpleLow).toBeLessThan(20_000);
    expect(bSimpleHigh).toBeGreaterThan(20_000);
    const clamped = new Horizon(1600);
    for (const pair of pairs) clamped.add(Math.max(gradientSquaredNormOf(pair), 0), covarianceTraceOf(pair));
    expect(clamped.noiseScale().bSimpleHigh).toBeLessThan(20_000);
  });

  test("a signal that cannot be told from 0 gives a lower bound and no cap", () => {
    const estimator = new RunEstimator({});
    for (const observation of observations({ ...run, bSimple: () => 1e9 })) estimator.add(observation);
    const estimate = estimator.estimate();
    for (const scale of [estimate, ...estimate.horizons]) {
      expect(scale).toMatchObject({ bSimple: undefined, bSimpleHigh: undefined, identifiable: false });
      expect(scale.bSimpleLow).toBeGreaterThan(0);
    }
    expect(estimate.efficiency).toBeUndefined();
    expect(estimate.recommendation).toMatchObject({ batchSize: undefined, batchSizeHigh: undefined, trade: [] });
  });

  test("the two parts are averaged before they are divided: the mean of one-step ratios is far off", () => {
    const pairs = observations({ seed: 12, steps: 2000, bSimple: () => 2000, dimensions: 20 });
    const ratios = pairs.map((pair) => covarianceTraceOf(pair) / gradientSquaredNormOf(pair));
    // One-step signals lie on both sides of 0, so their inverses do, too.
    expect(averaged(pairs).noiseScale().bSimple).toBeGreaterThan(1600);
    expect(averaged(pairs).noiseScale().bSimple).toBeLessThan(2500);
    expect(Math.abs(mean(ratios) / 2000 - 1)).toBeGreaterThan(0.25);
  });

  test("the variance over coordinates is not the variance over examples", () => {
    const overCoordinates = gradients.map((parts) => {
      const gradient = meanGradient(parts);
      const center = mean([...gradient]);
      return squaredNorm(gradient.map((value) => value - center));
    });
    // tr Σ is 1; the spread of one gradient's coordinates says nothing of it.
    expect(averaged(read(right)).covarianceTrace).toBeCloseTo(1, 1);
    expect(mean(overCoordinates)).toBeLessThan(0.01);
  });

  test("a device's batch size in place of the global one, or accumulation left out of B, scales the noise scale", () => {
    const global = read(right);
    const device = global.map(({ small, big }) => ({
      small: { ...small, batchSize: small.batchSize / 4 },
      big: { ...big, batchSize: big.batchSize / 4 },
    }));
    const [ours = 0, wrong = 0] = [averaged(global).noiseScale().bSimple, averaged(device).noiseScale().bSimple];
    expect(wrong).toBeCloseTo(ours / 4, 9);
  });

  test("steps with large gradients count like any other: leaving them out would bias the noise scale", () => {
    const pairs = read(right);
    const median = pairs.map(({ big }) => big.squaredNorm).sort((one, other) => one - other)[pairs.length / 2] ?? 0;
    const selected = averaged(pairs.filter(({ big }) => big.squaredNorm < median)).noiseScale();
    expect(holds(averaged(pairs).noiseScale())).toBe(true);
    expect(selected.bSimpleLow).toBeGreaterThan(truth);
  });

  test("a step that is not finite is refused and leaves every average as it was", () => {
    const [first, ...rest] = observations({ ...run, steps: 60 });
    if (first === undefined) throw new Error("no observation");
    const clean = new RunEstimator({});
    const tried = new RunEstimator({});
    for (const observation of [first, ...rest]) {
      for (const bad of [Number.POSITIVE_INFINITY, Number.NaN, -1, 1e200]) {
        const spoiled: Observation = { ...observation, small: { batchSize: 32, meanSquaredNorm: bad } };
        expect(() => tried.add(spoiled)).toThrow(RangeError);
        expect(() => tried.add({ ...observation, layers: new Map([["w", [bad, 1] as const]]) })).toThrow('layer "w"');
      }
      expect(tried.add(observation)).toEqual(clean.add(observation));
    }
    expect(tried.serialize()).toEqual(clean.serialize());
  });
});
