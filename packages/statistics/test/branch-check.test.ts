import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type BranchCheck, type BranchRun, checkBranches } from "../src/index.ts";
import { seededNormal } from "./simulated-run.ts";

function read(runs: readonly BranchRun[], options = {}): BranchCheck {
  const check = checkBranches(runs, options);
  if (!check.read) throw new Error(check.reason);
  return check;
}

const verdicts = (check: BranchCheck) => check.branches.map(({ verdict }) => verdict);

/** Losses after every step up to as many units, each `lossOf(units)`. */
function run(batchSize: number, lossOf: (units: number) => number, seed?: string, units = 6400): BranchRun {
  const losses = Array.from({ length: units / batchSize + 1 }, (_, step) => ({ step, loss: lossOf(step * batchSize) }));
  return { batchSize, losses, seed };
}

/** A level for each batch size, with normal noise of a deviation in each loss and a deviation of each seed. */
function simulated(
  levels: Readonly<Record<number, number>>,
  { seeds = 1, deviation = 0.02, seedDeviation = 0, seed }: SimulatedCheck,
): BranchRun[] {
  const normal = seededNormal(seed);
  const ofSeed = Array.from({ length: seeds }, () => seedDeviation * normal());
  return Object.entries(levels).flatMap(([batchSize, level]) =>
    ofSeed.map((shift, index) => run(Number(batchSize), () => level + shift + deviation * normal(), `${index}`)),
  );
}

interface SimulatedCheck {
  readonly seed: number;
  readonly seeds?: number;
  readonly deviation?: number;
  readonly seedDeviation?: number;
}

describe("a branch check, in closed form", () => {
  test("of losses without noise takes the largest batch size within the tolerance, at equality too", () => {
    const levels = { 16: 1, 32: 1, 64: 1.0625, 128: 1.2 };
    const runs = Object.entries(levels).map(([size, level]) => run(Number(size), () => level));
    const check = read(runs, { tolerance: 0.0625 });
    expect(verdicts(check)).toEqual(["smallest", "within", "within", "beyond"]);
    expect(check).toMatchObject({ largestWithin: 64, smallestBeyond: 128, settled: true, units: 6400 });
    expect(check.branches[3]).toMatchObject({ excess: expect.closeTo(0.2, 12), loss: expect.closeTo(1.2, 12) });
  });

  test("compares with every smaller batch size, so that a slow slide adds up", () => {
    const runs = [16, 32, 64, 128].map((size, place) => run(size, () => 1 + 0.008 * place));
    expect(verdicts(read(runs))).toEqual(["smallest", "within", "beyond", "beyond"]);
  });

  test("takes a falling loss after the same units at every batch size", () => {
    const falling = (units: number) => 2 - units / 10_000;
    const check = read([run(16, falling), run(100, falling), run(320, falling)]);
    // The middle of the last quarter of 6400, wherever the steps fall.
    for (const { loss } of check.branches) expect(loss).toBeCloseTo(falling(5600), 10);
    expect(verdicts(check)).toEqual(["smallest", "within", "within"]);
  });

  test("takes its interval from the losses' spread about a straight line", () => {
    const zigzag = (size: number) =>
      run(size, (units) => 1 - units / 6400 + (Math.round(units / size) % 2 ? 0.1 : -0.1));
    const check = read([zigzag(100), zigzag(200)], { window: 0.5 });
    const [first] = check.branches;
    // 32 losses alternate by ±0.1 about a line; the line that fits them tilts by a part in a thousand.
    const expected = Math.sqrt((32 * 0.01) / 30 / 32) * 2.0423;
    expect(((first?.lossHigh ?? 0) - (first?.lossLow ?? 0)) / 2 / expected).toBeCloseTo(1, 2);
    expect(check.uncertainty).toBe("window");
  });

  test("compares runs of one seed in pairs, where what they share drops out", () => {
    const of = (size: number, excess: number) =>
      ["a", "b", "c"].map((seed, place) => run(size, () => 1 + place + excess, seed));
    const paired = read([...of(16, 0), ...of(32, 0.005), ...of(64, 0.02)]);
    expect(paired.uncertainty).toBe("seeds");
    expect(verdicts(paired)).toEqual(["smallest", "within", "beyond"]);
    const unnamed = [...of(16, 0), ...of(32, 0.005)].map(({ batchSize, losses }) => ({ batchSize, losses }));
    expect(verdicts(read(unnamed))).toEqual(["smallest", "not settled"]);
  });

  test("rests on the window where any batch size has one seed only", () => {
    const check = read([run(16, () => 1, "a"), run(16, () => 1, "b"), run(32, () => 1, "a")]);
    expect(check.uncertainty).toBe("window");
  });

  test("puts a run that diverged beyond the tolerance, and sets no standard by it", () => {
    // Given up long before the others end.
    const diverged = (size: number) => run(size, (units) => (units > 300 ? Number.NaN : 1), undefined, 640);
    const check = read([run(16, () => 1), diverged(32), run(64, () => 1)]);
    expect(verdicts(check)).toEqual(["smallest", "beyond", "within"]);
    expect(check).toMatchObject({ largestWithin: 64, smallestBeyond: undefined, settled: true, units: 6400 });
    expect(check.branches[1]).toMatchObject({ loss: Number.POSITIVE_INFINITY, excess: Number.POSITIVE_INFINITY });
  });

  test("says not settled where a batch size has too few losses to tell", () => {
    const check = read([run(16, () => 1), run(1600, () => 1)]);
    expect(verdicts(check)).toEqual(["smallest", "not settled"]);
    expect(check).toMatchObject({ largestWithin: 16, smallestBeyond: undefined, settled: false });
    expect(check.branches[1]).toMatchObject({ losses: 1, lossLow: undefined, excessHigh: undefined });
  });

  test("compares where the shortest run ends", () => {
    const check = read([run(16, (units) => 1 - units / 1e5), run(32, (units) => 1 - units / 1e5, undefined, 3200)]);
    expect(check.units).toBe(3200);
    expect(verdicts(check)).toEqual(["smallest", "within"]);
  });
});

describe("what cannot be compared", () => {
  test("gets a reason", () => {
    expect(checkBranches([])).toEqual({ read: false, reason: "At least two batch sizes are needed; there is none." });
    expect(checkBranches([run(16, () => 1)])).toMatchObject({ reason: expect.stringMatching(/there is one/) });
    expect(checkBranches([run(16, () => Number.NaN), run(32, () => Number.POSITIVE_INFINITY)])).toMatchObject({
      reason: "Every branch diverged.",
    });
    const gap: BranchRun = {
      batchSize: 32,
      losses: [
        { step: 0, loss: 1 },
        { step: 300, loss: 1 },
      ],
    };
    expect(checkBranches([run(16, () => 1), gap])).toMatchObject({
      reason: expect.stringMatching(/at batch size 32 has no loss among the last 25 % of the 6400 units/),
    });
  });

  test("and wrong use throws", () => {
    expect(() => checkBranches([], { tolerance: -1 })).toThrow(RangeError);
    expect(() => checkBranches([], { window: 0 })).toThrow(RangeError);
    expect(() => checkBranches([run(0, () => 1, "a", 0)])).toThrow(/batchSize must be positive/);
  });
});

describe("verdicts under noise", () => {
  /** Share of 400 simulated checks with a verdict for the largest batch size. */
  function share(
    verdict: string,
    levels: Readonly<Record<number, number>>,
    options: Omit<SimulatedCheck, "seed">,
  ): number {
    let count = 0;
    for (let seed = 0; seed < 400; seed += 1) {
      if (verdicts(read(simulated(levels, { ...options, seed }))).at(-1) === verdict) count += 1;
    }
    return count / 400;
  }

  // At a true excess of just the tolerance each wrong verdict has a chance of .025 or less; .05 is three standard errors more.
  test.each([
    ["from the window", { deviation: 0.02 }],
    ["from three seeds", { seeds: 3, deviation: 0.02, seedDeviation: 0.3 }],
  ])("at the tolerance itself are wrong in at most one check of forty, %s", (_, options) => {
    const levels = { 16: 1, 32: 1, 64: 1.01 };
    expect(share("within", levels, options)).toBeLessThan(0.05);
    expect(share("beyond", levels, options)).toBeLessThan(0.05);
  });

  test("find what is far from the tolerance", () => {
    expect(share("beyond", { 16: 1, 32: 1, 64: 1.05 }, { deviation: 0.02 })).toBeGreaterThan(0.95);
    expect(share("within", { 16: 1, 32: 1, 64: 0.98 }, { deviation: 0.02 })).toBeGreaterThan(0.9);
    expect(share("not settled", { 16: 1, 32: 1, 64: 1 }, { deviation: 0.5 })).toBeGreaterThan(0.9);
  });
});

describe("properties", () => {
  const cases = fc.record({
    seed: fc.integer({ min: 0, max: 1e6 }),
    seeds: fc.integer({ min: 1, max: 3 }),
    excess: fc.array(fc.double({ min: -0.02, max: 0.05, noNaN: true }), { minLength: 3, maxLength: 3 }),
  });
  const runsOf = ({ seed, seeds, excess }: { seed: number; seeds: number; excess: readonly number[] }) =>
    simulated(
      { 16: 1, 32: 1 + (excess[0] ?? 0), 64: 1 + (excess[1] ?? 0), 160: 1 + (excess[2] ?? 0) },
      { seed, seeds },
    );
  const seeded = { seed: 5, numRuns: 60 };

  test("the order of the runs and of their losses is irrelevant", () => {
    fc.assert(
      fc.property(cases, (given) => {
        const runs = runsOf(given);
        const turned = runs.map((one) => ({ ...one, losses: one.losses.toReversed() })).reverse();
        const [one, other] = [read(runs), read(turned)];
        expect(verdicts(other)).toEqual(verdicts(one));
        for (const [place, { loss }] of other.branches.entries()) {
          expect(loss).toBeCloseTo(one.branches[place]?.loss as number, 10);
        }
      }),
      seeded,
    );
  });

  test("a shift of all losses, and a scale of them and the tolerance, leave the verdicts", () => {
    fc.assert(
      fc.property(cases, fc.double({ min: -5, max: 5, noNaN: true }), (given, shift) => {
        const runs = runsOf(given);
        const moved = runs.map((one) => ({
          ...one,
          losses: one.losses.map(({ step, loss }) => ({ step, loss: 4 * (loss + shift) })),
        }));
        // A hair apart from the tolerance, rounding may turn a verdict.
        expect(verdicts(read(moved, { tolerance: 0.04 }))).toEqual(verdicts(read(runs)));
      }),
      seeded,
    );
  });

  test("a larger tolerance never turns within into beyond, nor lowers the answer", () => {
    fc.assert(
      fc.property(cases, (given) => {
        const runs = runsOf(given);
        const [strict, lenient] = [read(runs, { tolerance: 0.005 }), read(runs, { tolerance: 0.02 })];
        expect(lenient.largestWithin).toBeGreaterThanOrEqual(strict.largestWithin);
        strict.branches.forEach(({ verdict }, place) => {
          if (verdict === "within") expect(lenient.branches[place]?.verdict).toBe("within");
        });
      }),
      seeded,
    );
  });
});
