import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { shortLayerNames } from "../src/layer-names.ts";

describe("short names of layers", () => {
  it("leave out what all of them begin and end with", () => {
    expect(shortLayerNames(["model.layers.0.q_proj.weight", "model.layers.11.mlp.weight"])).toEqual([
      "0.q_proj",
      "11.mlp",
    ]);
    expect(shortLayerNames(["dense_1/kernel", "dense_2/kernel"])).toEqual(["dense_1", "dense_2"]);
  });

  it("keep the numbers and the last part of a long name, and the first letters of the rest", () => {
    expect(shortLayerNames(["model.decoder.layers.17.self_attn.q_proj", "lm_head"])).toEqual([
      "m.d.l.17.s.q_proj",
      "lm_head",
    ]);
  });

  it("are the names themselves where these are short, and one alone keeps all its parts", () => {
    expect(shortLayerNames(["a.weight"])).toEqual(["a.weight"]);
    expect(shortLayerNames(["embedding", "head"])).toEqual(["embedding", "head"]);
    expect(shortLayerNames([])).toEqual([]);
  });

  it("stay different, whatever text the names are", () => {
    const part = fc.oneof(fc.string({ maxLength: 24 }), fc.constantFrom("weight", "layers", "0", "self_attn", "."));
    const name = fc.array(part, { minLength: 1, maxLength: 6 }).map((parts) => parts.join("."));
    fc.assert(
      fc.property(fc.uniqueArray(name, { maxLength: 16 }), (names) => {
        expect(new Set(shortLayerNames(names)).size).toBe(names.length);
      }),
      { seed: 8 },
    );
  });
});
