import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { backoffMs, retryAfterMs } from "../src/backoff.ts";

describe("backoff", () => {
  it("doubles with each failure up to its bound, and jitter takes at most half away", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 60 }),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (n, r) => {
          const full = Math.min(30_000, 500 * 2 ** (n - 1));
          const waited = backoffMs(n, undefined, { firstMs: 500, maxMs: 30_000, random: () => r });
          expect(waited).toBeGreaterThanOrEqual(full / 2);
          expect(waited).toBeLessThanOrEqual(full);
        },
      ),
    );
  });

  it("never comes back before the collector asked for it", () => {
    expect(backoffMs(1, 60_000, { firstMs: 500, maxMs: 30_000, random: () => 0.5 })).toBe(60_000);
  });

  it("reads Retry-After in seconds and as a date, and ignores what is neither", () => {
    const now = Date.parse("2026-01-01T00:00:00Z");
    expect(retryAfterMs("7", now)).toBe(7000);
    expect(retryAfterMs("Thu, 01 Jan 2026 00:00:09 GMT", now)).toBe(9000);
    expect(retryAfterMs("Wed, 31 Dec 2025 00:00:00 GMT", now)).toBe(0);
    expect(retryAfterMs("soon", now)).toBeUndefined();
    expect(retryAfterMs(null, now)).toBeUndefined();
  });
});
