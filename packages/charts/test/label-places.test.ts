import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type LabelWish, labelHeight, placeLabels } from "../src/label-places.ts";

const area = { left: 40, right: 440, top: 10, bottom: 290 };
const wish = (more: Partial<LabelWish>): LabelWish => ({
  width: 60,
  x: 440,
  y: 150,
  align: "left",
  position: "above",
  ...more,
});

describe("places of labels", () => {
  it("puts a lone label where it wants to be", () => {
    expect(placeLabels([wish({})], [], area)).toEqual([{ left: 371, center: 138 }]);
  });

  it("moves a label off a line that goes through its place", () => {
    const line = [{ x1: 40, y1: 138, x2: 440, y2: 138 }];
    const [place] = placeLabels([wish({})], [line], area);
    expect(Math.abs((place?.center ?? 138) - 138)).toBeGreaterThan(labelHeight / 2);
  });

  it("sees a steep piece of a line that has no end inside the label", () => {
    const line = [{ x1: 400, y1: 0, x2: 402, y2: 300 }];
    const [place] = placeLabels([wish({})], [line], area);
    const left = place?.left ?? 0;
    expect(left > 402 || left + 60 < 400).toBe(true);
  });

  it("keeps every label inside the area, and any four apart from each other", () => {
    const anyWish = fc.record({
      width: fc.integer({ min: 10, max: 160 }),
      x: fc.integer({ min: 40, max: 440 }),
      y: fc.integer({ min: -50, max: 350 }),
      align: fc.constantFrom("left" as const, "right" as const, "center" as const),
      position: fc.constantFrom("above" as const, "below" as const, "beside" as const),
    });
    fc.assert(
      fc.property(fc.array(anyWish, { minLength: 1, maxLength: 4 }), (wishes) => {
        const places = placeLabels(wishes, [], area);
        places.forEach((place, index) => {
          const width = wishes[index]?.width ?? 0;
          expect(place.left).toBeGreaterThanOrEqual(area.left);
          expect(place.left + width).toBeLessThanOrEqual(area.right);
          expect(place.center - labelHeight / 2).toBeGreaterThanOrEqual(area.top);
          expect(place.center + labelHeight / 2).toBeLessThanOrEqual(area.bottom);
          places.slice(0, index).forEach((other, before) => {
            const apart =
              other.left + (wishes[before]?.width ?? 0) <= place.left ||
              place.left + width <= other.left ||
              Math.abs(other.center - place.center) >= labelHeight;
            expect(apart).toBe(true);
          });
        });
      }),
      { seed: 1, numRuns: 2000 },
    );
  });
});
