import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Observation, RunEstimator, type RunPoint, type RunSettings, temperature } from "../src/index.ts";
import { observations } from "./simulated-run.ts";

interface Schedule {
  readonly steps?: number;
  readonly rate: (step: number) => number;
  readonly batchSize?: (step: number) => number;
}

const steps = 2000;
const batchSize = 256;
const firstTemperature = temperature(0.1, batchSize);

/** B_simple of a basin whose |G|² goes with rate/B: the data stays the same throughout. */
const noiseScaleAt = (rate: number, size: number): number => (500 * firstTemperature) / temperature(rate, size);

/** Measurements whose B_simple follows rate/B at once. */
function scheduled({ steps: length = steps, rate, batchSize: sizeAt = () => batchSize }: Schedule): Observation[] {
  const bSimple = (step: number) => noiseScaleAt(rate(step), sizeAt(step));
  const run = observations({ seed: 5, steps: length, dimensions: 16, batchSize: sizeAt, bSimple });
  return run.map((observation) => ({ ...observation, learningRate: rate(observation.step) }));
}

function follow(run: readonly Observation[], settings: RunSettings = {}): RunPoint[] {
  const estimator = new RunEstimator(settings);
  return run.map((observation) => estimator.add(observation));
}

/** First and last step of each stretch over which the recommendation was held back. */
function heldBack(points: readonly RunPoint[]): [number, number][] {
  const stretches: [number, number][] = [];
  for (const { step, heldBack: held } of points) {
    const last = stretches.at(-1);
    if (held === undefined) continue;
    if (last !== undefined && last[1] === step - 1) last[1] = step;
    else stretches.push([step, step]);
  }
  return stretches;
}

const changes = (points: readonly RunPoint[]) => points.flatMap(({ settingChange }) => settingChange ?? []);

describe("a recommendation while the learning rate over the batch size", () => {
  test("stays as it is, is not held back", () => {
    const points = follow(scheduled({ rate: () => 0.1 }));
    expect(heldBack(points)).toEqual([]);
    expect(changes(points)).toEqual([]);
  });

  test("warms up, waits until that moves little; a slow cosine after it is followed as it goes, and neither is a step", () => {
    const length = 3000;
    const rate = (step: number) =>
      0.1 * Math.min((step + 1) / 200, 1) * (0.1 + 0.45 * (1 + Math.cos((Math.PI * step) / length)));
    const points = follow(scheduled({ steps: length, rate }));
    const [[first, last] = [], ...more] = heldBack(points);
    expect(more).toEqual([]);
    expect(first).toBeLessThan(20);
    expect(last).toBeGreaterThan(150);
    expect(last).toBeLessThan(250);
    expect(points[last ?? 0]?.recommendedBatchSize).toBeUndefined();
    expect(points[(last ?? 0) + 1]?.recommendedBatchSize).toBeGreaterThan(0);
    expect(changes(points)).toEqual([]);
  });

  test("goes down a cosine to 0, is held back at its end, where a quarter less comes within fewer than 100 measurements", () => {
    const rate = (step: number) => 0.05 * (1.0001 + Math.cos((Math.PI * step) / steps));
    const points = follow(scheduled({ rate }));
    const [[first = 0, last] = [], ...more] = heldBack(points);
    expect(more).toEqual([]);
    expect(last).toBe(steps - 1);
    const before = rate(first - 100) / rate(first);
    expect(before).toBeGreaterThan(1.25);
    expect(before).toBeLessThan(1.25 ** 3);
    expect(changes(points)).toEqual([]);
  });

  test("falls to a tenth, stands as it stood until the filter has followed, and then follows: no change of the data", () => {
    const points = follow(scheduled({ rate: (step) => (step < 1000 ? 0.1 : 0.01) }));
    const [[first = 0, last = 0] = [], ...more] = heldBack(points);
    expect(more).toEqual([]);
    expect(first - 1000).toBeLessThan(5);
    expect(last - 1000).toBeGreaterThan(100);
    expect(last - 1000).toBeLessThan(200);
    const stood = points[999]?.recommendedBatchSize;
    for (const point of points.slice(1000, last + 1)) expect(point.recommendedBatchSize ?? stood).toBe(stood);
    // Within the hysteresis of the truth, and of the filter's own error beside it.
    expect(Math.abs(Math.log((points[1900]?.recommendedBatchSize ?? 0) / 5000))).toBeLessThan(Math.log(1.6));
    expect(changes(points)).toEqual([
      { step: 1000, learningRateFactor: expect.closeTo(0.1, 12), batchSizeFactor: undefined },
    ]);
  });

  test("is not held back to the end where the rate falls to 0: the weights stand, and nothing changes any more", () => {
    const points = follow(scheduled({ rate: (step) => (step < 1000 ? 0.1 : 0) }));
    const [[first = 0, last = 0] = [], ...more] = heldBack(points);
    expect(more).toEqual([]);
    expect(first - 1000).toBeLessThan(5);
    expect(last - 1000).toBeLessThan(100);
  });

  test("stays as it is because a doubled batch comes with a doubled rate, is not held back, and the step is marked", () => {
    const late = (step: number) => step >= 1000;
    const points = follow(
      scheduled({ rate: (step) => (late(step) ? 0.2 : 0.1), batchSize: (step) => (late(step) ? 512 : 256) }),
    );
    expect(heldBack(points)).toEqual([]);
    expect(changes(points)).toEqual([
      { step: 1000, learningRateFactor: expect.closeTo(2, 12), batchSizeFactor: expect.closeTo(2, 12) },
    ]);
  });

  test("halves because the batch alone doubles, is held back", () => {
    const points = follow(scheduled({ rate: () => 0.1, batchSize: (step) => (step < 1000 ? 256 : 512) }));
    const [[first = 0] = [], ...more] = heldBack(points);
    expect(more).toEqual([]);
    expect(first - 1000).toBeLessThan(8);
  });

  test("only wobbles with uneven batches and the small one at an epoch's end, is not held back", () => {
    const uneven = (step: number) => (step % 40 === 39 ? 16 : 256 + 32 * ((step * 7) % 5));
    const points = follow(scheduled({ rate: () => 0.1, batchSize: uneven }));
    expect(heldBack(points)).toEqual([]);
    expect(changes(points)).toEqual([]);
  });

  test("follows the square root of the batch under Adam, is not held back, as it would be under SGD", () => {
    const late = (step: number) => step >= 500;
    const run = scheduled({
      steps: 700,
      rate: (step) => (late(step) ? 0.2 : 0.1),
      batchSize: (step) => (late(step) ? 1024 : 256),
    });
    expect(heldBack(follow(run, { optimizer: "adam" }))).toEqual([]);
    expect(heldBack(follow(run, { optimizer: "sgd" }))).not.toEqual([]);
  });

  test("is not reported, is not held back", () => {
    const run = scheduled({ steps: 400, rate: (step) => (step < 200 ? 0.1 : 0.01) });
    const silent = run.map(({ learningRate: _, ...rest }) => rest);
    expect(heldBack(follow(silent))).toEqual([]);
    expect(changes(follow(silent))).toEqual([]);
  });

  test("is changed, is held back whatever the unit of rates is", () => {
    const run = scheduled({ steps: 400, rate: (step) => (step < 200 ? 0.1 : 0.03) });
    const expected = heldBack(follow(run));
    expect(expected).toHaveLength(1);
    fc.assert(
      fc.property(fc.integer({ min: -100, max: 100 }), (power) => {
        const scaled = run.map((one) => ({ ...one, learningRate: (one.learningRate ?? 0) * 2 ** power }));
        expect(heldBack(follow(scaled))).toEqual(expected);
      }),
      { seed: 4, numRuns: 10 },
    );
  });

  test("begins at 0 as some warm-ups do, is known once there is a rate", () => {
    const run = scheduled({ steps: 300, rate: () => 0.1 }).map((one) => ({
      ...one,
      learningRate: Math.max(0, (one.step - 2) / 100),
    }));
    const points = follow(run);
    expect(points[1]?.heldBack).toBeUndefined();
    expect(points[60]?.heldBack).toBe("learning_rate");
  });

  test("is changed, is the same to a run resumed from its bytes anywhere around that", () => {
    const run = scheduled({ steps: 300, rate: (step) => (step < 150 ? 0.1 : 0.03) });
    const whole = follow(run);
    for (const cut of [1, 20, 149, 150, 152, 153, 160, 280]) {
      const before = new RunEstimator({});
      for (const observation of run.slice(0, cut)) before.add(observation);
      const resumed = RunEstimator.deserialize(before.serialize(), {});
      expect(run.slice(cut).map((observation) => resumed.add(observation))).toEqual(whole.slice(cut));
    }
  });

  test("is refused where it is negative or its square is not finite", () => {
    const [first] = scheduled({ steps: 1, rate: () => 0.1 });
    if (first === undefined) throw new Error("no observation");
    for (const learningRate of [-1, Number.NaN, 1e200]) {
      expect(() => new RunEstimator({}).add({ ...first, learningRate })).toThrow("learningRate must not be negative");
    }
  });
});
