import { loadImage } from "@napi-rs/canvas";
import { describe, expect, test } from "vitest";
import {
  lightTheme,
  type PanelConfiguration,
  panelsOfSweep,
  sweepHeadline,
  sweepPanelNames,
  sweepPanels,
} from "../src/index.ts";
import { renderSweepPng } from "../src/png.ts";
import { colours } from "./picture-colours.ts";
import { sweep, sweepOf, targets } from "./sweep-fixture.ts";

const drawn = (panel: "sweep-frontier" | "critical-batch-size", data = sweep): PanelConfiguration =>
  sweepPanels[panel].configuration(data, lightTheme);

const points = ({ data }: PanelConfiguration): number[] =>
  data.datasets.flatMap((dataset) => dataset.data.flatMap(({ x, y }) => [x, y ?? Number.NaN]));

describe("the fitted frontier's panel", () => {
  test("has a dot for every run that reached its target, those of batch sizes that are left out without a filling", () => {
    const dots = drawn("sweep-frontier").data.datasets.filter(({ pointRadius }) => pointRadius === 2.5);
    const filled = dots.filter(({ pointBackgroundColor }) => pointBackgroundColor === lightTheme.ink);
    expect(filled.map(({ data }) => data.length)).toEqual([12, 12, 12]);
    const open = dots.filter(({ pointBackgroundColor }) => pointBackgroundColor === "transparent");
    expect(open.map(({ data }) => data.length)).toEqual([1, 1, 1]);
    const [first] = targets;
    const steps = first?.points[0]?.steps[0] ?? Number.NaN;
    expect(filled[0]?.data[0]).toEqual({ x: steps, y: 16 * steps });
  });

  test("rings the place where steps and units are twice the least", () => {
    const rings = drawn("sweep-frontier").data.datasets.filter(({ pointRadius }) => pointRadius === 8);
    expect(rings).toHaveLength(3);
    for (const [index, ring] of rings.entries()) {
      const target = targets[index];
      expect(ring.data[0]?.x).toBeCloseTo(2 * Number(target?.minSteps), 8);
      expect(ring.data[0]?.y).toBeCloseTo(2 * Number(target?.minUnits), 6);
    }
  });

  test("draws its curves on the hyperbola", () => {
    const { datasets } = drawn("sweep-frontier").data;
    const curves = datasets.filter(({ cubicInterpolationMode }) => cubicInterpolationMode === "monotone");
    const [target] = targets;
    if (target === undefined) throw new Error("no target");
    for (const { x, y } of curves[0]?.data ?? []) {
      // (S/S_min − 1)(E/E_min − 1) = 1, of doubles that were subtracted
      expect((x / target.minSteps - 1) * (Number(y) / target.minUnits - 1)).toBeCloseTo(1, 6);
    }
  });

  test("says steps, units and critical batch size with its interval in words", () => {
    const text = sweepPanels["sweep-frontier"].text(sweep);
    expect(text).toMatch(
      /To reach 0\.5 takes at least \d+\.?\d* steps and [\d,]+ examples; both double at a batch of \d+/,
    );
    expect(text).toMatch(/\(95 %: [\d.]+ to [\d.,]+\)/);
  });
});

describe("the panel of the critical batch size against the loss", () => {
  test("has a dot and an interval for each target, and the power law through them", () => {
    const { datasets } = drawn("critical-batch-size").data;
    expect(datasets.filter(({ showLine }) => showLine === false)).toHaveLength(3);
    const law = datasets.find(({ borderDash }) => borderDash !== undefined);
    // 40, 160 and 640 at 1, 1/2 and 1/4, off by what the seeds do to each alike
    const [at25, at100] = [law?.data[0]?.y, law?.data[1]?.y].map(Number);
    expect(Math.log(Number(at25) / Number(at100)) / Math.log(4)).toBeCloseTo(2, 6);
    expect(sweepPanels["critical-batch-size"].text(sweep)).toMatch(
      /Power law over the targets: .* \/ loss\^\(1\/0\.500\)/,
    );
  });

  test("draws no law where there is none, and says why", () => {
    const two = sweepOf(targets.slice(0, 2));
    expect(drawn("critical-batch-size", two).data.datasets.some(({ borderDash }) => borderDash !== undefined)).toBe(
      false,
    );
    expect(sweepPanels["critical-batch-size"].text(two)).toMatch(/at least 3 targets/);
  });

  test("takes targets that are not above 0", () => {
    const below = sweepOf(targets.map((target, index) => ({ ...target, target: -index })));
    expect(drawn("critical-batch-size", below).options?.scales?.["x"]?.type).toBe("linear");
  });
});

describe("panels of a sweep", () => {
  test("are the frontier alone where there is one target, and none where there is none", () => {
    expect(panelsOfSweep(sweep)).toEqual(sweepPanelNames);
    expect(panelsOfSweep(sweepOf(targets.slice(0, 1)))).toEqual(["sweep-frontier"]);
    expect(panelsOfSweep(sweepOf([]))).toEqual([]);
    expect(sweepHeadline(sweepOf([])).sentence).toBe("No target could be fitted.");
  });

  test("hold finite numbers only, where an interval has no end as well", () => {
    const open = sweepOf(
      targets.map((target) => ({
        ...target,
        criticalBatchSizeLow: undefined,
        criticalBatchSizeHigh: undefined,
        minStepsLow: undefined,
        minUnitsLow: undefined,
        minStepsHigh: undefined,
        minUnitsHigh: undefined,
      })),
    );
    for (const panel of sweepPanelNames) {
      expect(points(drawn(panel)).every(Number.isFinite), panel).toBe(true);
      expect(points(drawn(panel, open)).every(Number.isFinite), panel).toBe(true);
    }
    expect(sweepPanels["sweep-frontier"].text(open)).toContain("(95 %: no lower end to no upper end)");
  });

  test.each(sweepPanelNames)("%s makes a picture that is not blank", async (panel) => {
    const picture = await loadImage(Buffer.from(renderSweepPng(panel, sweep)));
    expect([picture.width, picture.height]).toEqual([1440, 880]);
    expect(colours(picture).has("0a66c8")).toBe(true);
  });

  test("state the last target, the runs and the warnings above them", () => {
    const { sentence, basis } = sweepHeadline(sweep);
    expect(sentence).toMatch(/^Critical batch size \d+ to reach 0\.25\.$/);
    expect(basis).toMatch(/^Fitted to 12 runs\./);
    expect(basis).toContain("does not come near the least number of steps");
  });
});
