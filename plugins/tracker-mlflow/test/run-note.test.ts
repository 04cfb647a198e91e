import fc from "fast-check";
import { expect, test } from "vitest";
import { noteWithSection } from "../src/run-note.ts";

test("an empty note becomes the section alone", () => {
  const note = noteWithSection("", "**B_simple** 437");
  expect(note).toMatch(/^<!-- noise_scale: .*-->\n\*\*B_simple\*\* 437\n<!-- \/noise_scale -->$/);
});

test("the user's words stay before and behind the section while it is replaced", () => {
  const first = noteWithSection("# Baseline\n\nSeed 3.", "437");
  const second = noteWithSection(`${first}\n\nAdded later.`, "512");
  expect(second.startsWith("# Baseline\n\nSeed 3.\n\n<!-- noise_scale")).toBe(true);
  expect(second.endsWith("\n\nAdded later.")).toBe(true);
  expect(second).toContain("512");
  expect(second).not.toContain("437");
});

test("a section that lost its end takes no more than its paragraph", () => {
  const cut = noteWithSection("Mine.", "437").replace("\n<!-- /noise_scale -->", "");
  const healed = noteWithSection(`${cut}\n\nMine too.`, "512");
  expect(healed).toContain("Mine.");
  expect(healed).toContain("Mine too.");
  expect(healed).not.toContain("437");
});

test("a name in the section that looks like its end does not end it", () => {
  const first = noteWithSection("Mine.", "run <!-- /noise_scale --> x");
  expect(noteWithSection(first, "512")).toBe(noteWithSection("Mine.", "512"));
});

test("where both do not fit, the user's words stand and the section goes", () => {
  const long = "w".repeat(7900);
  expect(noteWithSection(long, "s".repeat(200))).toBe(long);
  const fitted = noteWithSection(long.slice(0, 4000), "437");
  expect(noteWithSection(fitted, "s".repeat(6000))).toBe(long.slice(0, 4000));
});

const words = fc
  .string({ unit: fc.constantFrom("a", "\n", " ", "<", "!", "-", "é", "#"), maxLength: 60 })
  .map((text) => text.replaceAll(/^\n+|\n+$/g, ""))
  .filter((text) => text.trim() !== "");

test("whatever the user wrote, it is there after any number of rewrites, and the section once", () => {
  fc.assert(
    fc.property(words, words, words, words, (before, after, first, second) => {
      const note = `${noteWithSection(before, first)}\n\n${after}`;
      const rewritten = noteWithSection(noteWithSection(note, second), second);
      expect(rewritten.startsWith(`${before}\n\n<!-- noise_scale`)).toBe(true);
      expect(rewritten.endsWith(`<!-- /noise_scale -->\n\n${after}`)).toBe(true);
      expect(rewritten.split("<!-- noise_scale")).toHaveLength(2);
    }),
    { seed: 10 },
  );
});
