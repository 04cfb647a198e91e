import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { FrontierPrediction, lossPoints, noiseScalePowerLaw, scheduleCost, settingChanges } from "../src/index.ts";
import { TemperatureWatch } from "../src/temperature.ts";

// Made by test/oracle/make_reference.py: numpy and scipy, from the definitions, sharing nothing with these sources.
const reference = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../../../test/oracle/reference/${name}.json`, import.meta.url), "utf8"));

/** The references hold 12 digits. */
const digits = 9;

describe("an independent implementation in numpy and scipy", () => {
  it("holds the recommendation back after the same measurements, and finds the same steps of the settings", () => {
    for (const row of reference("settings") as {
      readonly schedule: string;
      readonly optimizer: "sgd" | "adam";
      readonly rates: readonly number[];
      readonly sizes: readonly number[];
      readonly held_back: readonly number[];
      readonly rate_changes: readonly number[];
      readonly size_changes: readonly number[];
    }[]) {
      const what = `${row.schedule}, ${row.optimizer}`;
      const watch = new TemperatureWatch(row.optimizer);
      const held = row.rates.map((rate, index) => {
        watch.add(rate, row.sizes[index] ?? Number.NaN);
        return watch.changing ? 1 : 0;
      });
      expect(held, what).toEqual(row.held_back);
      const changes = settingChanges(
        row.rates.map((learningRate, step) => ({ step, learningRate, batchSize: row.sizes[step] ?? Number.NaN })),
      );
      const stepsOf = (factor: "learningRateFactor" | "batchSizeFactor") =>
        changes.filter((change) => change[factor] !== undefined).map(({ step }) => step);
      expect(stepsOf("learningRateFactor"), what).toEqual(row.rate_changes);
      expect(stepsOf("batchSizeFactor"), what).toEqual(row.size_changes);
    }
  });

  it("finds the same power laws of the loss, and none where this finds none", () => {
    const laws = reference("power-laws") as {
      readonly loss: readonly number[];
      readonly noise_scale: readonly number[];
      readonly parts: number;
      readonly law: Readonly<Record<"noise_scale_at_one" | "alpha" | "foretold" | "rms_log_residual", number>> | null;
    }[];
    expect(laws.map(({ law }) => law === null)).toContain(true);
    for (const { loss, noise_scale, parts, law } of laws) {
      const points = lossPoints(
        loss.map((value, row) => ({
          loss: value,
          noiseScale: noise_scale[row] ?? Number.NaN,
          noiseScaleLow: undefined,
          noiseScaleHigh: undefined,
        })),
      );
      expect(points).toHaveLength(parts);
      const found = noiseScalePowerLaw(points);
      expect(found.fitted).toBe(law !== null);
      if (!found.fitted || law === null) continue;
      expect(found.noiseScaleAtOne / law.noise_scale_at_one).toBeCloseTo(1, digits);
      expect(found.alpha / law.alpha).toBeCloseTo(1, digits);
      expect(found.foretold).toBeCloseTo(law.foretold, digits);
      expect(found.rmsLogResidual / law.rms_log_residual).toBeCloseTo(1, digits);
    }
  });

  it("finds the same gain and cost of following a noise scale by integrating over it", () => {
    for (const row of reference("schedules") as Readonly<
      Record<"power" | "gain" | "critical_batch_size" | "latency_ratio" | "steps_factor" | "units_factor", number>
    >[]) {
      const cost = scheduleCost(row.gain, row.critical_batch_size, row.latency_ratio);
      expect(cost.stepsFactor / row.steps_factor).toBeCloseTo(1, digits);
      expect(cost.unitsFactor / row.units_factor).toBeCloseTo(1, digits);
      const prediction = new FrontierPrediction("b_simple");
      const stretches = 2000;
      for (let stretch = 0; stretch < stretches; stretch += 1) {
        const x = 1 / (100 * ((stretch + 0.5) / stretches) ** row.power);
        prediction.add({ low: x, middle: x, high: x }, (1 + 64 * x) / (64 * x * stretches), 64);
      }
      // The midpoint rule over 2000 stretches leaves less than 1e-4, most of it at the root's steep start.
      expect(prediction.estimate().adaptiveGain).toBeCloseTo(row.gain, 4);
    }
  });
});
