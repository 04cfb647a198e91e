import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseFrontierTarget } from "../src/index.ts";

describe("a frontier's target", () => {
  it("is a name, a side and a number, in one spelling however it was written", () => {
    expect(parseFrontierTarget(" validation loss  <= 0.30 ")).toEqual({
      name: "validation loss",
      comparison: "<=",
      value: 0.3,
      text: "validation loss<=0.3",
    });
    expect(parseFrontierTarget("eval/accuracy@1>=9e-1")).toMatchObject({ name: "eval/accuracy@1", value: 0.9 });
    // Names of evaluations are free text: the last comparison is the target's.
    expect(parseFrontierTarget("a<=b<=1")).toMatchObject({ name: "a<=b", value: 1 });
  });

  it.each([
    "",
    "loss",
    "loss<0.3",
    "loss=0.3",
    "<=0.3",
    "loss<=",
    "loss<=abc",
    "loss<=NaN",
    "loss<=Infinity",
    "loss<=1 2",
  ])("is not understood from %j", (text) => {
    expect(parseFrontierTarget(text)).toBeUndefined();
  });

  it("is refused in time that grows with its length, whatever blanks it is made of", () => {
    const before = performance.now();
    expect(parseFrontierTarget(`${" ".repeat(1_000_000)}<=x`)).toBeUndefined();
    expect(parseFrontierTarget(`a${" ".repeat(1_000_000)}`)).toBeUndefined();
    // An expression over the whole text took 5 s for 4000 blanks.
    expect(performance.now() - before).toBeLessThan(2000);
  });

  it("reads its own text back as itself", () => {
    const name = fc
      .string({ minLength: 1, maxLength: 128 })
      .filter((text) => text.trim() === text && !/[<>=]/.test(text) && text !== "");
    const value = fc.double({ noNaN: true, noDefaultInfinity: true });
    fc.assert(
      fc.property(name, fc.constantFrom("<=", ">="), value, (of, comparison, to) => {
        const parsed = parseFrontierTarget(`${of}${comparison}${to}`);
        expect(parsed).toMatchObject({ name: of, comparison });
        expect(parseFrontierTarget(parsed?.text ?? "")).toEqual(parsed);
      }),
      { seed: 4 },
    );
  });
});
