import { expect, test } from "vitest";
import { fieldErrors, measurementSchema } from "../src/index.ts";

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
