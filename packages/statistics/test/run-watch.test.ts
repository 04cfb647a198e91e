import { describe, expect, test } from "vitest";
import { BatchSizeDecision, type RecommendedRange } from "../src/batch-size-decision.ts";
import { defaultWatchSettings, type RunChange, RunEstimator, type RunSettings, RunWatch } from "../src/index.ts";
import { observations, type SimulatedRun } from "./simulated-run.ts";

interface Told {
  readonly measurement: number;
  readonly change: RunChange;
}

interface WatchedRun extends SimulatedRun {
  readonly settings?: RunSettings;
  readonly calibrated?: (step: number) => boolean;
  readonly learningRate?: (step: number) => number;
  /** Measurements after which estimator and watch are read back from their bytes. */
  readonly readBackAfter?: number;
}

function watch(run: WatchedRun): Told[] {
  const { settings = {}, calibrated = () => true, learningRate, readBackAfter } = run;
  let estimator = new RunEstimator(settings);
  let runWatch = new RunWatch();
  return observations({ parts: 4, dimensions: 10, ...run }).flatMap((observation, i) => {
    if (i === readBackAfter) {
      estimator = RunEstimator.deserialize(estimator.serialize(), settings);
      runWatch = RunWatch.deserialize(runWatch.serialize());
    }
    const { step } = observation;
    const rate = learningRate === undefined ? {} : { learningRate: learningRate(step) };
    const point = estimator.add({ ...observation, ...rate });
    const calibration = { ratio: 1, ratioLow: 1, ratioHigh: 1 };
    const range = estimator.recommendedRange(point, calibrated(step) ? { calibration } : {});
    const changes = runWatch.add(point, range, (horizon) => estimator.plain(horizon), defaultWatchSettings);
    return changes.map((change) => ({ measurement: i + 1, change }));
  });
}

const batchSizes = (told: readonly Told[]) =>
  told.flatMap(({ measurement, change }) => (change.kind === "batch_size" ? [{ measurement, ...change }] : []));

const seeds = [1, 2, 3, 4, 5, 6];

test("a batch of the recommended size draws no message, whatever B_simple is beside it", () => {
  for (const [i, bSimple] of [64, 256, 4096].entries()) {
    const settings = { latencyRatio: 256 ** 2 / bSimple };
    const told = watch({ seed: 40 + i, steps: 6000, bSimple: () => bSimple, settings });
    expect(batchSizes(told), `B_simple ${bSimple}`).toEqual([]);
  }
});

test("a batch 4 times off is announced within 1000 measurements, in either direction, once", () => {
  for (const seed of seeds) {
    for (const [bSimple, verdict] of [
      [64, "too_large"],
      [1024, "too_small"],
    ] as const) {
      const told = batchSizes(watch({ seed, steps: 1000, bSimple: () => bSimple }));
      expect(told, `seed ${seed}, B_simple ${bSimple}`).toMatchObject([{ verdict, uncalibrated: false }]);
    }
  }
});

test("a batch just beyond the factor, where the noise wanders over the edge, is announced at most once", () => {
  for (const seed of seeds) {
    const told = batchSizes(watch({ seed, steps: 4000, bSimple: () => 118 }));
    expect(told.length, `seed ${seed}`).toBeLessThanOrEqual(1);
  }
});

test("the message ends once the batch is changed to what was recommended", () => {
  const batchSize = (step: number): number => (step < 600 ? 1024 : 256);
  const told = batchSizes(watch({ seed: 3, steps: 1500, bSimple: () => 256, batchSize }));
  expect(told.map(({ verdict }) => verdict)).toEqual(["too_large", "fine"]);
  expect(told[0]?.measurement).toBeLessThan(600);
  expect(told[1]?.measurement).toBeGreaterThan(600);
});

test("the small batch at the end of each epoch neither draws a message nor holds one up", () => {
  const batchSize = (step: number): number => (step % 20 === 19 ? 16 : 256);
  expect(batchSizes(watch({ seed: 4, steps: 3000, bSimple: () => 256, batchSize }))).toEqual([]);
  const late = batchSizes(watch({ seed: 5, steps: 1000, bSimple: () => 64, batchSize }));
  expect(late).toMatchObject([{ verdict: "too_large" }]);
});

test("a verdict that comes to rest on more than an indicator is told again, once", () => {
  const told = batchSizes(watch({ seed: 6, steps: 1500, bSimple: () => 64, calibrated: (step) => step >= 900 }));
  expect(told.map(({ verdict, uncalibrated }) => [verdict, uncalibrated])).toEqual([
    ["too_large", true],
    ["too_large", false],
  ]);
  expect(told[1]?.measurement).toBe(901);
});

test("a signal that sinks below what can be seen is lost after a while, with what was known of it, and found again", () => {
  const bSimple = (step: number): number => (step < 1200 || step >= 6000 ? 300 : 1e6);
  const told = watch({ seed: 7, steps: 8000, bSimple });
  const signal = told.flatMap(({ measurement, change }) => (change.kind === "signal" ? [{ measurement, change }] : []));
  expect(signal.map(({ change }) => change.state)).toEqual(["found", "lost", "found"]);
  const [, lost, found] = signal;
  expect(lost?.measurement).toBeGreaterThan(1200);
  expect(lost?.measurement).toBeLessThan(6000);
  expect(found?.measurement).toBeGreaterThan(6000);
  expect(lost?.change.last?.bSimpleHigh).toBeGreaterThan(lost?.change.last?.bSimpleLow ?? Number.POSITIVE_INFINITY);
});

test("a jump is told once, with what the noise scale was before", () => {
  let found = 0;
  for (const [before, after] of [
    [200, 1600],
    [1600, 200],
  ] as const) {
    for (const seed of seeds.slice(0, 4)) {
      const told = watch({ seed, steps: 2000, bSimple: (step) => (step < 1500 ? before : after) });
      const jumps = told.flatMap(({ measurement, change }) =>
        change.kind === "jump" ? [{ measurement, change }] : [],
      );
      expect(jumps.length, `${before} to ${after}, seed ${seed}`).toBeLessThanOrEqual(1);
      found += jumps.length;
      for (const { measurement, change } of jumps) {
        expect(measurement).toBeGreaterThan(1500);
        expect(measurement).toBeLessThan(1900);
        expect(change.before.bSimpleLow).toBeLessThan(before);
        expect(change.before.bSimpleHigh).toBeGreaterThan(before);
      }
    }
  }
  // A few per cent are not sure of themselves soon enough, within the 200 measurements in which a jump takes place.
  expect(found).toBeGreaterThanOrEqual(7);
});

test("neither a drift over a factor of 30 nor what a smaller learning rate does to B_simple is a jump", () => {
  const drift = watch({ seed: 9, steps: 4000, bSimple: (step) => 100 * 30 ** (step / 4000) });
  expect(drift.filter(({ change }) => change.kind === "jump")).toEqual([]);
  const cooled = watch({
    seed: 10,
    steps: 3000,
    bSimple: (step) => (step < 1500 ? 200 : 1600),
    learningRate: (step) => (step < 1500 ? 0.8 : 0.1),
  });
  expect(cooled.filter(({ change }) => change.kind === "jump")).toEqual([]);
});

test("a watch that is read back from its bytes, at whatever measurement, decides the same", () => {
  const run: WatchedRun = {
    seed: 11,
    steps: 2500,
    bSimple: (step) => (step < 1200 ? 200 : 1600),
    batchSize: (step) => (step < 400 ? 1024 : 128),
  };
  const whole = watch(run);
  expect(new Set(whole.map(({ change }) => change.kind))).toEqual(new Set(["batch_size", "signal", "jump"]));
  for (const readBackAfter of [50, 101, 460, 1290, 1333]) expect(watch({ ...run, readBackAfter })).toEqual(whole);
});

test("bytes of another version are refused", () => {
  const bytes = new RunWatch().serialize();
  new DataView(bytes.buffer).setFloat64(0, 99, true);
  expect(() => RunWatch.deserialize(bytes)).toThrow("watch version 99");
});

describe("a verdict by an indicator", () => {
  const settings = { factor: 2, dwell: 10 };
  const range = (low: number | undefined, high: number | undefined, uncalibrated: boolean): RecommendedRange => ({
    low,
    high,
    uncalibrated,
    plain: () => ({ low, high }),
  });
  const tooSmall = (): BatchSizeDecision => {
    const decision = new BatchSizeDecision();
    for (let i = 0; i < 10; i += 1) decision.add(256, range(1000, 1400, true), settings);
    expect(decision.verdict).toBe("too_small");
    return decision;
  };

  test("is told again once more than that says the same, and not where that says another thing", () => {
    expect(tooSmall().add(256, range(900, 1200, false), settings)).toBe(true);
    const other = tooSmall();
    const told = Array.from({ length: 10 }, () => other.add(256, range(200, 300, false), settings));
    expect(told).toEqual([...Array.from({ length: 9 }, () => false), true]);
    expect(other.verdict).toBe("fine");
  });

  test("stands while nothing is known", () => {
    const decision = tooSmall();
    for (let i = 0; i < 100; i += 1) {
      expect(decision.add(256, range(undefined, undefined, false), settings)).toBe(false);
    }
    expect(decision.verdict).toBe("too_small");
  });
});
