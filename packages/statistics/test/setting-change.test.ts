import { describe, expect, test } from "vitest";
import { settingChanges, type TrainingSettings } from "../src/index.ts";

const series = (rates: readonly (number | undefined)[], sizes: readonly number[] = []): TrainingSettings[] =>
  rates.map((learningRate, index) => ({ step: 10 * index, learningRate, batchSize: sizes[index] ?? 64 }));
const times = <Value>(count: number, value: Value): Value[] => Array.from({ length: count }, () => value);

describe("a change of settings", () => {
  test("is a step of the rate, at the first measurement after it", () => {
    expect(settingChanges(series([...times(6, 0.1), ...times(6, 0.05)]))).toEqual([
      { step: 60, learningRateFactor: expect.closeTo(0.5, 12), batchSizeFactor: undefined },
    ]);
  });

  test("is found through a slow decay, and is none of the decay", () => {
    const decay = Array.from({ length: 40 }, (_, index) => 0.99 ** index * (index < 20 ? 1 : 0.2));
    expect(settingChanges(series(decay))).toEqual([
      { step: 200, learningRateFactor: expect.closeTo(0.2 * 0.99 ** 4, 12), batchSizeFactor: undefined },
    ]);
  });

  test.each([
    ["a linear warm-up", Array.from({ length: 50 }, (_, index) => Math.min(1, index / 20))],
    ["a cosine to 0", Array.from({ length: 50 }, (_, index) => 1 + Math.cos((Math.PI * index) / 49))],
    ["a decay by a quarter a measurement", Array.from({ length: 50 }, (_, index) => 0.75 ** index)],
    ["one measurement apart", [...times(10, 0.1), 0.5, ...times(10, 0.1)]],
    ["a step below the hysteresis", [...times(10, 0.1), ...times(10, 0.12)]],
    ["a rate that comes to be known", [...times(10, undefined), ...times(10, 0.1)]],
    ["a rate that falls to 0", [...times(10, 0.1), ...times(10, 0)]],
  ])("is not %s", (_, rates) => {
    expect(settingChanges(series(rates))).toEqual([]);
  });

  test("of the batch is found without a rate, and together with the rate's it is one", () => {
    const sizes = [...times(8, 64), ...times(8, 128)];
    expect(settingChanges(series(times(16, undefined), sizes))).toEqual([
      { step: 80, learningRateFactor: undefined, batchSizeFactor: expect.closeTo(2, 12) },
    ]);
    expect(settingChanges(series([...times(8, 0.1), ...times(8, 0.2)], sizes))).toEqual([
      { step: 80, learningRateFactor: expect.closeTo(2, 12), batchSizeFactor: expect.closeTo(2, 12) },
    ]);
  });
});
