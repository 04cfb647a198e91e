import { expect, test } from "vitest";
import { retryAfterSeconds } from "../src/tracker-server.ts";

test("Retry-After is read as seconds or as a date, and anything else as no wish", () => {
  expect(retryAfterSeconds("120")).toBe(120);
  expect(retryAfterSeconds("Wed, 21 Oct 2026 07:28:10 GMT", Date.UTC(2026, 9, 21, 7, 28))).toBe(10);
  expect(retryAfterSeconds("Wed, 21 Oct 2026 07:28:00 GMT", Date.UTC(2026, 9, 21, 8))).toBe(0);
  expect(retryAfterSeconds("soon")).toBeUndefined();
  expect(retryAfterSeconds(null)).toBeUndefined();
});
