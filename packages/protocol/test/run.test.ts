import { describe, expect, test } from "vitest";
import { fieldErrors, identifierSchema, runDeclarationSchema, runEventSchema } from "../src/index.ts";

function errorsOf(declaration: unknown): string[] {
  const parsed = runDeclarationSchema.safeParse(declaration);
  return parsed.success ? [] : fieldErrors(parsed.error).map((error) => error.path);
}

describe("a run declaration", () => {
  test("needs only a project and counts examples where nothing else is said", () => {
    expect(runDeclarationSchema.parse({ project: "digits" })).toEqual({ project: "digits", unit: "example" });
  });

  test.each([
    ["no project", {}, "project"],
    ["an unknown unit", { project: "p", unit: "bananas" }, "unit"],
    ["a batch multiple that is not whole", { project: "p", batch_multiple: 1.5 }, "batch_multiple"],
    ["batch_min above batch_max", { project: "p", batch_min: 64, batch_max: 32 }, "batch_min"],
    ["five trackers", { project: "p", trackers: Array.from({ length: 5 }, () => ({ name: "t" })) }, "trackers"],
    ["a tracker's address", { project: "p", trackers: [{ name: "http://10.0.0.1/" }] }, "trackers.0.name"],
    ["a field that is not known", { project: "p", colour: "red" }, "colour"],
  ])("with %s is refused at its path", (_, declaration, path) => {
    expect(errorsOf(declaration)).toContain(path);
  });
});

test.each(["..", ".", "", "a/b", "../../x", "<img src=x onerror=alert(1)>", "a b", "x".repeat(129)])(
  "%j is no identifier",
  (text) => expect(identifierSchema.safeParse(text).success).toBe(false),
);

test("an event's code is a short stable word and its count a positive whole number", () => {
  const event = { step: 1, time_ms: 1, kind: "dropped", code: "not-finite" };
  expect(runEventSchema.safeParse(event).success).toBe(true);
  expect(runEventSchema.safeParse({ ...event, code: "Not finite!" }).success).toBe(false);
  expect(runEventSchema.safeParse({ ...event, count: 0 }).success).toBe(false);
});
