import { expect, it } from "vitest";
import { ageText } from "../../page/age-text.ts";

it("says an age in its largest whole unit, and makes none up where clocks differ", () => {
  expect([0, 999, 1000, 61_000, 7_200_000, 200_000_000, -5000].map(ageText)).toEqual([
    "just now",
    "just now",
    "1 second ago",
    "1 minute ago",
    "2 hours ago",
    "2 days ago",
    "just now",
  ]);
});
