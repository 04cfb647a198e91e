import { expect, test } from "vitest";
import { fieldErrors, measurementSchema, runDeclarationSchema, runEventSchema } from "../src/index.ts";

test("a field that is missing, or of another type, is said in words of the sender", () => {
  const parsed = measurementSchema.safeParse({
    step: 1,
    small: { batch_size: "32", squared_norm: null, count: 4 },
    big: [],
    colour: "red",
  });
  expect(
    Object.fromEntries(fieldErrors(parsed.error ?? expect.fail()).map(({ path, message }) => [path, message])),
  ).toEqual({
    time_ms: "is missing: it must be a number",
    "small.batch_size": "must be a number, not a string",
    "small.squared_norm": "must be a number, not null",
    big: "must be an object, not an array",
    colour: "unknown field",
  });
});

test("a value out of its bounds, or none of the few that there are, is said without the words of a type checker", () => {
  const messages = (error: Parameters<typeof fieldErrors>[0] | undefined) =>
    Object.fromEntries(fieldErrors(error ?? expect.fail()).map(({ path, message }) => [path, message]));
  const measured = measurementSchema.safeParse({
    step: -1,
    time_ms: 1,
    small: { batch_size: -8, squared_norm: -2, count: 1.5 },
    big: { batch_size: 0, squared_norm: Number.NaN },
    layers: { w: [1] },
  });
  expect(messages(measured.error)).toEqual({
    step: "must be at least 0",
    "small.batch_size": "must be more than 0",
    "small.squared_norm": "must be at least 0",
    "small.count": "must be a whole number",
    "big.batch_size": "must be more than 0",
    "big.squared_norm": "must be a number, not NaN",
    "layers.w": "must hold at least 2 entries",
  });
  const declared = runDeclarationSchema.safeParse({
    project: "p",
    name: "",
    unit: "pixel",
    trackers: [{ name: "t", run: "x" }],
    batch_max: 0,
  });
  expect(messages(declared.error)).toEqual({
    name: "must have at least 1 character",
    unit: "must be one of example, token, timestep",
    "trackers.0.run": "must be an object, not a string",
    batch_max: "must be at least 1",
  });
  const event = runEventSchema.safeParse({ step: 1, time_ms: 1, kind: "stopped", code: "x" });
  expect(messages(event.error)).toEqual({ kind: "must be one of dropped, warning, unavailable, finished, failed" });
});
