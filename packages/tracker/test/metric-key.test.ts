import { isMetricKey, layerMetricKeys, metricKey, metricKeys } from "@noisescale/tracker";
import fc from "fast-check";
import { expect, test } from "vitest";

test("a layer's usual name stays as it is", () => {
  expect(layerMetricKeys(["dense_1/kernel", "model.layers.0.attn-q"])).toEqual(
    new Map([
      ["dense_1/kernel", "noise_scale/layer/dense_1/kernel/b_simple"],
      ["model.layers.0.attn-q", "noise_scale/layer/model.layers.0.attn-q/b_simple"],
    ]),
  );
});

test("every key that the product writes is one that every tracker takes", () => {
  for (const key of Object.values(metricKey)) expect(isMetricKey(key)).toBe(true);
});

test("a name that would climb or vanish becomes underscores", () => {
  expect(metricKeys(["../../x"])).toEqual(["__/__/x"]);
  expect(metricKeys(["a//b", "a//b"])).toEqual(["a/_/b", "a/_/b"]);
  expect(metricKeys([""])).toEqual(["_"]);
});

test("two names that become one key are told apart, and the one that needed no cleaning keeps it", () => {
  const keys = metricKeys(["kernel:0", "kernel_0", "kernel 0"]);
  expect(keys[0]).toMatch(/^kernel_0-[0-9a-f]{8}$/);
  expect(keys[1]).toBe("kernel_0");
  expect(keys[2]).toMatch(/^kernel_0-[0-9a-f]{8}$/);
  expect(new Set(keys).size).toBe(3);
});

test("a name that already looks like another's suffixed key is not overwritten", () => {
  const [suffixed = ""] = metricKeys(["a:b", "a_b"]);
  const keys = metricKeys(["a:b", "a_b", suffixed]);
  expect(keys[2]).toBe(suffixed);
  expect(new Set(keys).size).toBe(3);
});

test("long names are cut to 250 characters and stay apart", () => {
  const keys = layerMetricKeys([`${"k".repeat(400)}1`, `${"k".repeat(400)}2`]);
  expect(new Set(keys.values()).size).toBe(2);
  for (const key of keys.values()) expect(key).toHaveLength(250);
});

const awkward = fc.oneof(
  fc.string({ unit: "binary", maxLength: 300 }),
  fc.array(fc.constantFrom("a", "_", ":", "/", ".", "..", "<", "é"), { maxLength: 8 }).map((parts) => parts.join("")),
);

test("whatever the names, the keys are valid, distinct, and independent of the names' order", () => {
  fc.assert(
    fc.property(fc.uniqueArray(awkward, { maxLength: 12 }), (names) => {
      const keys = layerMetricKeys(names);
      expect(new Set(keys.values()).size).toBe(names.length);
      for (const key of keys.values()) expect(isMetricKey(key)).toBe(true);
      expect(layerMetricKeys([...names].reverse())).toEqual(keys);
    }),
    { seed: 4, numRuns: 500 },
  );
});

test("a prefix that leaves no room for names is refused", () => {
  expect(() => metricKeys(["a"], { prefix: "p".repeat(230) })).toThrow(RangeError);
});
