import { ingestResultSchema } from "@noisescale/protocol";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BatchSizeControl, type BatchSizeLimits } from "../src/batch-size-control.ts";
import { snapshotAt } from "./scripted-collector.ts";

interface Answer {
  readonly step: number;
  readonly batchSize: number;
  readonly recommended: number | null;
  /** Of the recommendation's interval; very close where they are left out. */
  readonly low?: number | null;
  readonly high?: number | null;
  readonly factor?: number | null;
  readonly identifiable?: boolean;
  readonly attempt?: number;
  readonly heldBack?: "learning_rate" | null;
}

const { snapshot } = ingestResultSchema.parse({ accepted: 1, duplicates: 0, rejected: [], snapshot: snapshotAt(0) });

function answered(answer: Answer) {
  const { step, batchSize, recommended, factor = null, identifiable = true, attempt = 0 } = answer;
  const { low = recommended, high = recommended, heldBack = null } = answer;
  const recommendation = {
    ...snapshot.recommendation,
    batch_size: recommended,
    batch_size_low: low,
    batch_size_high: high,
    learning_rate_factor: factor,
    held_back: heldBack,
  };
  return { ...snapshot, step, measurements: step + 1, attempt, identifiable, batch_size: batchSize, recommendation };
}

/** A training that measures every step, hears of it at once, and does what it is asked. */
class FollowingLoop {
  readonly control: BatchSizeControl;
  readonly batchSizes: number[];
  step = 0;

  constructor(batchSize: number, limits: BatchSizeLimits) {
    this.control = new BatchSizeControl(limits, "sgd");
    this.batchSizes = [batchSize];
  }

  get batchSize(): number {
    return this.batchSizes.at(-1) as number;
  }

  take(recommended: number | null): void {
    this.control.measured({ attempt: 0, step: this.step });
    const change = this.control.decide(answered({ step: this.step, batchSize: this.batchSize, recommended }));
    this.step += 1;
    if (change !== undefined) this.batchSizes.push(change.batchSize);
  }
}

function decide(
  answer: Partial<Answer>,
  limits: BatchSizeLimits = {},
  optimizer: "sgd" | "adam" | undefined = undefined,
) {
  const control = new BatchSizeControl({ agreeingMeasurements: 0, ...limits }, optimizer);
  control.measured({ attempt: 0, step: 100 });
  return control.decide(answered({ step: 100, batchSize: 64, recommended: 64, ...answer }));
}

const positive = fc.double({ min: 1, max: 1e6, noNaN: true });
const limitsOf = fc.record({
  microBatch: fc.integer({ min: 1, max: 64 }),
  hysteresisFactor: fc.double({ min: 1, max: 2, noNaN: true }),
  maxChangeFactor: fc.double({ min: 1.1, max: 8, noNaN: true }),
  measurementsBetween: fc.integer({ min: 0, max: 5 }),
  agreeingMeasurements: fc.integer({ min: 0, max: 5 }),
});
const seeded = { seed: 11, numRuns: 300 };

describe("the batch size that follows a recommendation", () => {
  it("is the recommendation in whole micro-batches, rounded up", () => {
    expect(decide({ recommended: 100 }, { microBatch: 16 })).toMatchObject({ batchSize: 112, accumulation: 7 });
    expect(decide({ recommended: 96 }, { microBatch: 16 })).toMatchObject({ batchSize: 96, accumulation: 6 });
    expect(decide({ recommended: 40 }, { microBatch: 32 })).toBeUndefined();
    expect(decide({ recommended: 100 })).toMatchObject({ batchSize: 100, accumulation: 100 });
  });

  it("stays within the micro-batches that a step may accumulate", () => {
    expect(decide({ recommended: 128 }, { microBatch: 16, maxAccumulation: 6 })).toMatchObject({ batchSize: 96 });
    expect(decide({ recommended: 32 }, { microBatch: 16, minAccumulation: 3 })).toMatchObject({ batchSize: 48 });
    expect(decide({ recommended: 4096 }, { microBatch: 16, maxAccumulation: 4 })).toBeUndefined();
  });

  it("rounds down where rounding up would go beyond the largest change", () => {
    expect(decide({ recommended: 4096, batchSize: 50 }, { microBatch: 32 })).toMatchObject({ batchSize: 96 });
  });

  it("stands where not even one micro-batch lies within the largest change", () => {
    expect(decide({ recommended: 4096, batchSize: 20 }, { microBatch: 64 })).toBeUndefined();
  });

  it("stands while nothing is recommended, the noise scale is not identified, or the answer is old", () => {
    expect(decide({ recommended: null })).toBeUndefined();
    expect(decide({ recommended: 128, identifiable: false })).toBeUndefined();
    expect(decide({ recommended: 128, step: 100 - 11 }, { maxAgeSteps: 10 })).toBeUndefined();
    expect(decide({ recommended: 128, step: 100 - 10 }, { maxAgeSteps: 10 })).toBeDefined();
  });

  it("stands while the recommendation is held back, such as while the learning rate changes", () => {
    expect(decide({ recommended: 128, heldBack: "learning_rate" })).toBeUndefined();
  });

  it("stands in the recommendation's interval, however far from its middle; an end that is not known holds it", () => {
    expect(decide({ recommended: 256, low: 63, high: 900 })).toBeUndefined();
    expect(decide({ recommended: 256, low: 65, high: 900 })).toBeDefined();
    expect(decide({ recommended: 256, low: null, high: 900 })).toBeUndefined();
    expect(decide({ recommended: 256, low: 65, high: null })).toBeDefined();
    expect(decide({ recommended: 32, low: 8, high: 65 })).toBeUndefined();
    expect(decide({ recommended: 32, low: null, high: 63 })).toBeDefined();
    expect(decide({ recommended: 32, low: 8, high: null })).toBeUndefined();
  });

  it("stands at the answer of another attempt, such as of records that a spool held", () => {
    expect(decide({ recommended: 128, attempt: 7 })).toBeUndefined();
  });

  it("stands before anything was measured here", () => {
    const control = new BatchSizeControl({}, "sgd");
    expect(control.decide(answered({ step: 100, batchSize: 64, recommended: 128 }))).toBeUndefined();
  });

  it("waits after a change for measurements of its own, and for the answer to the last of them", () => {
    const control = new BatchSizeControl({ measurementsBetween: 3, agreeingMeasurements: 0 }, "sgd");
    const at = (step: number) => control.decide(answered({ step, batchSize: 64, recommended: 1000 }));
    control.measured({ attempt: 0, step: 10 });
    expect(at(10)).toBeDefined();
    for (const step of [20, 30]) control.measured({ attempt: 0, step });
    expect(at(30)).toBeUndefined();
    control.measured({ attempt: 0, step: 40 });
    expect(at(39)).toBeUndefined();
    // The loop did not follow, and is asked again.
    expect(at(40)).toMatchObject({ batchSize: 128 });
  });

  it("stands until answers in a row have called for the same change over some measurements", () => {
    const control = new BatchSizeControl({ agreeingMeasurements: 10 }, "sgd");
    const at = (step: number, recommended: number, identifiable = true) => {
      control.measured({ attempt: 0, step });
      return control.decide(answered({ step, batchSize: 256, recommended, identifiable }));
    };
    expect(at(100, 80)).toBeUndefined();
    expect(at(109, 80)).toBeUndefined();
    // Another way, the right size, and nothing known each begin the row anew.
    expect(at(110, 512)).toBeUndefined();
    expect(at(115, 80)).toBeUndefined();
    expect(at(124, 256)).toBeUndefined();
    expect(at(125, 80)).toBeUndefined();
    expect(at(134, 80, false)).toBeUndefined();
    expect(at(135, 80)).toBeUndefined();
    expect(at(144, 90)).toBeUndefined();
    expect(at(145, 70)).toMatchObject({ batchSize: 128 });
  });

  it("never changes by more than the largest factor, and by nothing but whole micro-batches", () => {
    fc.assert(
      fc.property(positive, fc.array(positive, { maxLength: 60 }), limitsOf, (first, recommended, limits) => {
        const loop = new FollowingLoop(first, limits);
        for (const value of recommended) loop.take(value);
        loop.batchSizes.slice(1).forEach((batchSize, index) => {
          const factor = batchSize / (loop.batchSizes[index] as number);
          expect(Math.max(factor, 1 / factor)).toBeLessThanOrEqual(limits.maxChangeFactor);
          expect(batchSize % limits.microBatch).toBe(0);
        });
      }),
      seeded,
    );
  });

  it("reaches a target that stands, up to the hysteresis and one micro-batch, and then rests", () => {
    fc.assert(
      fc.property(positive, positive, limitsOf, (first, target, limits) => {
        // From below one micro-batch a doubling may not reach it.
        fc.pre(first >= limits.microBatch && limits.maxChangeFactor >= 2);
        const loop = new FollowingLoop(first, limits);
        for (let step = 0; step < 400; step += 1) loop.take(target);
        const { length } = loop.batchSizes;
        for (let step = 0; step < 200; step += 1) loop.take(target);
        expect(loop.batchSizes).toHaveLength(length);
        expect(loop.batchSize).toBeLessThan(target * limits.hysteresisFactor + limits.microBatch);
        expect(loop.batchSize).toBeGreaterThanOrEqual(target / limits.hysteresisFactor);
      }),
      seeded,
    );
  });

  it("does not flap: in a band as wide as the hysteresis it moves at most twice after it is there", () => {
    const inBand = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 50, maxLength: 200 });
    fc.assert(
      fc.property(positive, inBand, limitsOf, (low, shares, limits) => {
        const loop = new FollowingLoop(Math.max(low, limits.microBatch), limits);
        const { length } = loop.batchSizes;
        for (const share of shares) loop.take(low * limits.hysteresisFactor ** share);
        expect(loop.batchSizes.length - length).toBeLessThanOrEqual(2);
      }),
      seeded,
    );
  });

  it("is not moved by unknown recommendations between known ones", () => {
    const unknown = fc.array(fc.option(fc.double({ min: 500, max: 600 }), { nil: null }), { maxLength: 100 });
    fc.assert(
      fc.property(unknown, (recommended) => {
        const known = recommended.filter((value) => value !== null);
        const [all, those] = [recommended, known].map((values) => {
          const loop = new FollowingLoop(64, { measurementsBetween: 0, agreeingMeasurements: 0 });
          for (const value of values) loop.take(value);
          return loop.batchSizes;
        });
        expect(all).toEqual(those);
      }),
      seeded,
    );
  });
});

describe("the factor on the learning rate", () => {
  const sgd = (noiseScale: number, from: number, to: number) => (1 + noiseScale / from) / (1 + noiseScale / to);

  it("is the collector's own where the change goes all the way", () => {
    expect(decide({ recommended: 128, factor: 1.7 }, {}, "sgd")?.learningRateFactor).toBeCloseTo(1.7, 12);
    expect(decide({ recommended: 128, factor: 1.4 }, {}, "adam")?.learningRateFactor).toBeCloseTo(1.4, 12);
  });

  it("of SGD is that of the noise scale behind the collector's, for the batch size in between", () => {
    fc.assert(
      fc.property(positive, fc.integer({ min: 200, max: 5000 }), (noiseScale, recommended) => {
        const change = decide({ recommended, factor: sgd(noiseScale, 64, recommended) }, {}, "sgd");
        // 12 digits: the noise scale is the difference of two numbers that may nearly be equal.
        expect((change?.learningRateFactor ?? 0) / sgd(noiseScale, 64, 128)).toBeCloseTo(1, 9);
      }),
      seeded,
    );
  });

  it("of Adam is the square root of the batch sizes' ratio, for the batch size in between", () => {
    const change = decide({ recommended: 1024, factor: Math.sqrt(1024 / 64) }, {}, "adam");
    expect(change).toMatchObject({ batchSize: 128, learningRateFactor: expect.closeTo(Math.SQRT2, 12) });
  });

  it("is null where the collector knows none", () => {
    expect(decide({ recommended: 128 }, {}, "sgd")).toMatchObject({ learningRateFactor: null });
  });
});

describe("limits", () => {
  it.each([
    [{ microBatch: 0 }, /^batchSizeLimits\.microBatch: must be a number above 0, got 0$/],
    [{ minAccumulation: 1.5 }, /minAccumulation: must be a whole number from 1/],
    [{ minAccumulation: 4, maxAccumulation: 2 }, /maxAccumulation: must be a whole number from minAccumulation, 4/],
    [{ agreeingMeasurements: -1 }, /agreeingMeasurements: must be a whole number from 0/],
    [{ hysteresisFactor: 0.9 }, /hysteresisFactor: must be a number from 1/],
    [{ maxChangeFactor: 1 }, /maxChangeFactor: must be a number above 1/],
    [{ measurementsBetween: -1 }, /measurementsBetween: must be a whole number from 0/],
    [{ maxAgeSteps: Number.NaN }, /maxAgeSteps: must be a number from 0/],
  ])("%o is refused with the limit's name", (limits, message) => {
    expect(() => new BatchSizeControl(limits, "sgd")).toThrow(message);
  });
});
