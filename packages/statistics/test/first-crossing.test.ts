import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type CrossingTarget, FirstCrossing, SmoothedLoss } from "../src/index.ts";

function crossing(target: CrossingTarget, points: readonly (readonly [step: number, value: number])[]): FirstCrossing {
  const found = new FirstCrossing(target);
  for (const [step, value] of points) found.add(step, value);
  return found;
}

describe("the first crossing of a target", () => {
  test("lies on the line between the two values around it, whether the target is above or below", () => {
    const down = [
      [0, 2],
      [10, 1],
      [20, 0.5],
      [30, 0.1],
    ] as const;
    expect(crossing({ comparison: "<=", value: 0.75 }, down).step).toBe(15);
    expect(crossing({ comparison: "<=", value: 1 }, down).step).toBe(10);
    expect(
      crossing({ comparison: ">=", value: 0.9 }, [
        [5, 0.5],
        [10, 0.8],
        [20, 1],
      ]).step,
    ).toBe(15);
  });

  test("is the first of several", () => {
    expect(
      crossing({ comparison: "<=", value: 1 }, [
        [0, 2],
        [4, 0],
        [8, 2],
        [16, 0],
      ]).step,
    ).toBe(2);
  });

  test("is not there where the target was never met", () => {
    const never = crossing({ comparison: "<=", value: 0.05 }, [
      [0, 2],
      [10, 1],
    ]);
    expect(never.step).toBeUndefined();
    expect(never.metAtFirst).toBe(false);
  });

  test("is not known where the first value meets the target already", () => {
    const early = crossing({ comparison: "<=", value: 3 }, [
      [50, 2],
      [60, 4],
      [70, 2],
    ]);
    expect(early.step).toBeUndefined();
    expect(early.metAtFirst).toBe(true);
  });

  test("is exact on straight lines, whatever their slope and the places of the values", () => {
    const positive = fc.double({ min: 0.01, max: 100, noNaN: true });
    fc.assert(
      fc.property(positive, positive, fc.integer({ min: 1, max: 40 }), (slope, start, every) => {
        const target = start / 2;
        const steps = Array.from({ length: 200 }, (_, i) => i * every);
        const last = (200 - 1) * every;
        const found = crossing(
          { comparison: "<=", value: target },
          steps.map((step) => [step, start - slope * step]),
        ).step;
        const truth = target / slope;
        if (truth > last) expect(found).toBeUndefined();
        // Cancellation of start − slope·step: some ulps of start.
        else expect(Math.abs((found as number) - truth)).toBeLessThan(1e-9 * (1 + last));
      }),
      { seed: 7 },
    );
  });

  test("refuses steps that go back", () => {
    expect(() =>
      crossing({ comparison: "<=", value: 0 }, [
        [5, 1],
        [5, 1],
      ]),
    ).toThrow(RangeError);
  });
});

describe("the smoothed loss", () => {
  const smoothed = (losses: readonly number[]): SmoothedLoss => {
    const average = new SmoothedLoss();
    losses.forEach((loss, step) => {
      average.add(step, loss);
    });
    return average;
  };

  test("is a straight line's own value at its own step", () => {
    const { step, loss } = smoothed(Array.from({ length: 500 }, (_, i) => 3 - i / 250)).value ?? { step: 0, loss: 0 };
    expect(loss).toBeCloseTo(3 - step / 250, 12);
    // Weights k^8: the centre lies at about 9/10 of the run.
    expect(step / 499).toBeCloseTo(0.9, 2);
  });

  test("delays runs of every length by the same share", () => {
    const share = (length: number): number =>
      (smoothed(Array.from({ length }, () => 1)).value?.step ?? 0) / (length - 1);
    expect(share(100)).toBeCloseTo(share(10_000), 2);
  });

  test("stays finite between the largest losses that there are", () => {
    const { loss } = smoothed([Number.MAX_VALUE, -Number.MAX_VALUE, Number.MAX_VALUE]).value ?? { loss: Number.NaN };
    expect(Number.isFinite(loss)).toBe(true);
  });

  test("is not there before the first loss", () => {
    expect(smoothed([]).value).toBeUndefined();
  });
});

interface ReferenceCrossing {
  readonly steps: readonly number[];
  readonly values: readonly number[];
  readonly target: number;
  readonly falling: number | null;
  readonly rising: number | null;
  readonly smoothed: number | null;
}

// Made by test/oracle/make_reference.py: weights and interpolation by their definitions, sharing nothing with these sources.
const reference = JSON.parse(
  readFileSync(new URL("../../../test/oracle/reference/crossings.json", import.meta.url), "utf8"),
) as readonly ReferenceCrossing[];

test.each(reference)("an independent implementation in numpy finds the same crossings %#", (expected) => {
  const { steps, values, target } = expected;
  const falling = new FirstCrossing({ comparison: "<=", value: target });
  const rising = new FirstCrossing({ comparison: ">=", value: -target });
  const smooth = new FirstCrossing({ comparison: "<=", value: target });
  const average = new SmoothedLoss();
  steps.forEach((step, i) => {
    const value = values[i] ?? Number.NaN;
    falling.add(step, value);
    rising.add(step, -value);
    average.add(step, value);
    if (average.value !== undefined) smooth.add(average.value.step, average.value.loss);
  });
  for (const [found, stored] of [
    [falling, expected.falling],
    [rising, expected.rising],
    [smooth, expected.smoothed],
  ] as const) {
    if (stored === null) expect(found.step).toBeUndefined();
    else expect((found.step ?? Number.NaN) / stored).toBeCloseTo(1, 10);
  }
});
