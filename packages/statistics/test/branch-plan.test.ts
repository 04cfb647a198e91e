import { describe, expect, test } from "vitest";
import { planBranches } from "../src/index.ts";

const factors = (plan: ReturnType<typeof planBranches>) => plan.branches.map((branch) => branch.learningRateFactor);

describe("a plan of branches", () => {
  test("trains every branch on the same units: a whole number of steps at the largest batch size", () => {
    const plan = planBranches({ batchSize: 32, multiples: [8, 1, 2, 4, 4], optimizer: "adam", units: 10_000 });
    expect(plan.units).toBe(10_240);
    expect(plan.branches.map(({ batchSize, steps }) => [batchSize, steps])).toEqual([
      [32, 320],
      [64, 160],
      [128, 80],
      [256, 40],
    ]);
  });

  test("takes 100 steps at the largest batch size where nothing is said", () => {
    expect(planBranches({ batchSize: 32, multiples: [1, 4], optimizer: "sgd" }).units).toBe(12_800);
  });

  test("scales Adam's rate by the root of k, and says what goes with it and where the rule is not derived", () => {
    const plan = planBranches({ batchSize: 32, multiples: [1, 4, 16], optimizer: "adam", noiseScale: 200 });
    expect(factors(plan)).toEqual([1, 2, 4]);
    expect(plan.branches[1]?.adam).toEqual({ oneMinusBetaFactor: 4, epsilonFactor: 0.5 });
    expect(plan).toMatchObject({ rule: "adam", beyondRule: [16] });
  });

  test("scales SGD's rate by the noise scale: about k far below it, to a limit far above it", () => {
    const at = (noiseScale: number) =>
      factors(planBranches({ batchSize: 32, multiples: [1, 4], optimizer: "sgd", noiseScale }));
    expect(at(32)).toEqual([1, 1.6]);
    expect(at(1e9)[1]).toBeCloseTo(4, 5);
    expect(at(1e-9)[1]).toBeCloseTo(1, 5);
  });

  test("scales SGD's rate by k where no noise scale is known", () => {
    const plan = planBranches({ batchSize: 32, multiples: [1, 2, 4], optimizer: "sgd" });
    expect(factors(plan)).toEqual([1, 2, 4]);
    expect(plan).toMatchObject({ rule: "sgd-linear", beyondRule: [] });
  });

  test("refuses what is not positive", () => {
    const plan = { batchSize: 32, multiples: [1, 2], optimizer: "sgd" as const };
    expect(() => planBranches({ ...plan, batchSize: 0 })).toThrow(/^batchSize must be positive/);
    expect(() => planBranches({ ...plan, noiseScale: -1 })).toThrow(/^noiseScale must be positive/);
    expect(() => planBranches({ ...plan, multiples: [1, 0] })).toThrow(/^multiples must be positive/);
    expect(() => planBranches({ ...plan, multiples: [] })).toThrow(/^multiples must not be empty/);
  });
});
