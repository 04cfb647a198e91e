import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fieldErrors, measurementSchema } from "../src/index.ts";

const good = {
  step: 7,
  time_ms: 1_760_000_000_000,
  small: { batch_size: 32, squared_norm: 1.5, count: 4 },
  big: { batch_size: 128, squared_norm: 0.75 },
};

function errorsOf(record: unknown): { path: string; message: string }[] {
  const parsed = measurementSchema.safeParse(record);
  return parsed.success ? [] : fieldErrors(parsed.error);
}

describe("a measurement", () => {
  test("is accepted as the README writes it, and its attempt is 0 where none is said", () => {
    expect(measurementSchema.parse(good)).toEqual({ ...good, attempt: 0 });
  });

  test.each([
    [
      "a squared norm that is not finite",
      { ...good, big: { batch_size: 128, squared_norm: Number.NaN } },
      "big.squared_norm",
    ],
    ["an infinite loss", { ...good, loss: Number.POSITIVE_INFINITY }, "loss"],
    ["a negative squared norm", { ...good, small: { ...good.small, squared_norm: -1 } }, "small.squared_norm"],
    ["b equal to B", { ...good, small: { ...good.small, batch_size: 128 } }, "small.batch_size"],
    ["b above B", { ...good, small: { ...good.small, batch_size: 256 } }, "small.batch_size"],
    ["an unknown field", { ...good, gradient: [1, 2] }, "gradient"],
    ["an unknown nested field", { ...good, big: { ...good.big, count: 1 } }, "big.count"],
    ["a wrong type", { ...good, small: { ...good.small, count: "4" } }, "small.count"],
    ["a step that is not whole", { ...good, step: 1.5 }, "step"],
    ["a negative step", { ...good, step: -1 }, "step"],
    ["a step beyond the integers that a number holds", { ...good, step: 2 ** 60 }, "step"],
    ["a layer with a negative square", { ...good, layers: { dense: [1, -1] } }, "layers.dense.1"],
    ["a layer with one number", { ...good, layers: { dense: [1] } }, "layers.dense"],
    ["layers that are a list", { ...good, layers: [[1, 2]] }, "layers"],
    ["a prototype in its own field", JSON.parse('{"__proto__": {"step": 1}}'), "__proto__"],
    ["nothing", null, ""],
  ])("with %s is refused at its path", (_, record, path) => {
    expect(errorsOf(record).map((error) => error.path)).toContain(path);
  });

  test("holds at most 512 layers", () => {
    const layers = Object.fromEntries(Array.from({ length: 513 }, (_, index) => [`layer${index}`, [2, 1]]));
    expect(errorsOf({ ...good, layers })).toEqual([{ path: "layers", message: "must hold at most 512 names" }]);
  });

  test("keeps any layer name as text, __proto__ included, and no prototype changes", () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1, maxLength: 256, unit: "grapheme" }), (name) => {
        fc.pre(name.length <= 256);
        const layers = Object.fromEntries([
          [name, [2, 1]],
          ["__proto__", [4, 3]],
        ]);
        const parsed = measurementSchema.parse({ ...good, layers: JSON.parse(JSON.stringify(layers)) });
        expect(parsed.layers?.get("__proto__")).toEqual([4, 3]);
        expect(parsed.layers?.has(name)).toBe(true);
        expect(({} as Record<string, unknown>)["0"]).toBeUndefined();
      }),
      { seed: 1, numRuns: 200 },
    );
  });
});
