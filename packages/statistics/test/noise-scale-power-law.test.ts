import { describe, expect, test } from "vitest";
import { type LossMeasurement, lossPoints, noiseScalePowerLaw } from "../src/index.ts";
import { seededNormal } from "./simulated-run.ts";

/** A run whose loss falls from 3 to 0.3, with each batch's scatter. */
function run(count: number, noiseScale: (loss: number, row: number) => number, scatter = 0): LossMeasurement[] {
  const normal = seededNormal(9);
  return Array.from({ length: count }, (_, row) => {
    const loss = 3 * 0.1 ** (row / count);
    return {
      loss: loss * (1 + scatter * normal()),
      noiseScale: noiseScale(loss, row),
      noiseScaleLow: noiseScale(loss, row) / 2,
      noiseScaleHigh: row < count / 2 ? undefined : noiseScale(loss, row) * 2,
    };
  });
}

describe("the noise scale as a power of the loss", () => {
  test("is found again where the run follows one", () => {
    const law = noiseScalePowerLaw(lossPoints(run(4000, (loss) => 120 / loss ** 2)));
    expect(law).toMatchObject({ fitted: true });
    if (!law.fitted) return;
    // A part's mean loss lies above its geometric mean, by a square of the part's length: under a thousandth here.
    expect(law.noiseScaleAtOne / 120).toBeCloseTo(1, 2);
    expect(law.alpha).toBeCloseTo(0.5, 2);
    expect(law.foretold).toBeGreaterThan(0.9999);
  });

  test("is not flattened by the scatter of single batches' losses, which parts average away", () => {
    const law = noiseScalePowerLaw(lossPoints(run(4000, (loss) => 120 / loss ** 2, 0.3)));
    // 0.3/√125 a part: 0.03 against a spread of 0.66 in ln L.
    expect(law.fitted && 1 / law.alpha).toBeGreaterThan(1.95);
    expect(law.fitted && 1 / law.alpha).toBeLessThan(2.05);
  });

  test("is not claimed where the noise scale wanders, rises with the loss, or the loss stands still", () => {
    const reason = (measurements: LossMeasurement[]) => {
      const law = noiseScalePowerLaw(lossPoints(measurements));
      return law.fitted ? "fitted" : law.reason;
    };
    expect(reason(run(800, (loss, row) => (100 * 2 ** Math.sin(row / 30)) / loss ** 0.2))).toMatch(
      /foretells less than half/,
    );
    expect(reason(run(800, (loss) => 100 * loss))).toMatch(/does not grow as the loss falls/);
    expect(reason(run(800, (loss) => 100 / loss).map((one) => ({ ...one, loss: 1 })))).toMatch(/moved too little/);
    const oneApart = run(800, (_, row) => (row < 25 ? 20 : 100 + 10 * Math.sin(row / 9)));
    expect(reason(oneApart.map((one, row) => ({ ...one, loss: row < 25 ? 3 : 0.5 + 0.1 * Math.cos(row) })))).toMatch(
      /foretells less/,
    );
    expect(reason(run(40, (loss) => 100 / loss))).toMatch(/at least 48 measurements/);
  });

  test("cuts a run into parts of about as many measurements, and leaves out what has no logarithm", () => {
    const points = lossPoints([
      ...run(101, (loss) => 100 / loss),
      ...run(9, () => 5).map((one) => ({ ...one, loss: 0 })),
    ]);
    expect(points).toHaveLength(12);
    expect(points.every(({ noiseScale }) => noiseScale > 30)).toBe(true);
    expect(points[0]?.noiseScaleHigh).toBeUndefined();
    expect(points.at(-1)?.noiseScaleHigh).toBeCloseTo(2 * (points.at(-1)?.noiseScale ?? 0), 9);
  });
});
