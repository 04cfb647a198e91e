import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fieldErrors, measurementSchema } from "../src/index.ts";

const good = {
  step: 7,
  time_ms: 1_760_000_000_000,
  small: { batch_size: 32, squared_norm: 1.5, count: 4 },
  big: { batch_size: 128, squared_norm: 0.75 },
};

const form = (b: number, smallValue: number, B: number, bigValue: number) => ({
  small: { batch_size: b, value: smallValue },
  big: { batch_size: B, value: bigValue },
});

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
    ["a form with b equal to B", { ...good, hessian: form(128, 1, 128, 1) }, "hessian.small.batch_size"],
    ["a form whose value is not finite", { ...good, hessian: form(64, 1, 128, Number.NaN) }, "hessian.big.value"],
    ["half a form", { ...good, hessian: { small: { batch_size: 64, value: 1 } } }, "hessian.big"],
    ["a squared norm in a form", { ...good, hessian: { ...form(64, 1, 128, 1), count: 2 } }, "hessian.count"],
    ["a negative value of gᵀPg", { ...good, preconditioned: form(64, 1, 128, -1) }, "preconditioned.big.value"],
    ["a prototype in its own field", JSON.parse('{"__proto__": {"step": 1}}'), "__proto__"],
    ["nothing", null, ""],
  ])("with %s is refused at its path", (_, record, path) => {
    expect(errorsOf(record).map((error) => error.path)).toContain(path);
  });

  test("takes values of gᵀHg of either sign, at batch sizes of their own", () => {
    const forms = { hessian: form(64, 0.5, 128, -0.25), preconditioned: form(8, 3, 16, 0) };
    expect(measurementSchema.parse({ ...good, ...forms })).toMatchObject(forms);
  });

  test("says what is wrong with a form, and what would be right", () => {
    expect(errorsOf({ ...good, hessian: form(128, 1, 128, 1) })[0]?.message).toMatch(/smaller than the form's big/);
    expect(errorsOf({ ...good, preconditioned: form(1, -1, 2, 1) })[0]?.message).toMatch(/must not be negative/);
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
