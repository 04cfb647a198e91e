import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { adaptiveBatchSize, scheduleCost, stepsFactor, unitsFactor } from "../src/index.ts";

const positive = fc.double({ min: 1e-3, max: 1e6, noNaN: true });

describe("an adaptive schedule", () => {
  test("without a gain is the one batch size √(r·B_crit), and costs what that costs", () => {
    fc.assert(
      fc.property(positive, positive, (critical, ratio) => {
        const batchSize = adaptiveBatchSize(critical, ratio);
        const { stepsFactor: steps, unitsFactor: units } = scheduleCost(1, critical, ratio);
        expect(steps / stepsFactor(batchSize, critical)).toBeCloseTo(1, 12);
        expect(units / unitsFactor(batchSize, critical)).toBeCloseTo(1, 12);
      }),
      { seed: 2 },
    );
  });

  test("lies on (S/S_min − 1)(E/E_min − 1) = γ for every latency ratio", () => {
    fc.assert(
      fc.property(fc.double({ min: 0.1, max: 1, noNaN: true }), positive, (gain, ratio) => {
        const { stepsFactor: steps, unitsFactor: units } = scheduleCost(gain, 300, ratio);
        // The subtraction of 1 loses digits where a factor is near it.
        expect((steps - 1) * (units - 1)).toBeCloseTo(gain, 6);
      }),
      { seed: 2 },
    );
  });
});
