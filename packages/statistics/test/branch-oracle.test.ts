import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { checkBranches } from "../src/index.ts";

interface ReferenceCheck {
  readonly paired: boolean;
  readonly tolerance: number;
  readonly window: number;
  readonly branches: readonly { readonly batch_size: number; readonly losses: readonly (readonly number[])[] }[];
  readonly expected: readonly {
    readonly batch_size: number;
    readonly loss: number;
    readonly low: number;
    readonly high: number;
    readonly excess?: readonly [number, number, number];
    readonly verdict?: string;
  }[];
}

// Made by test/oracle/make_reference.py: numpy's polyfit and scipy's t distribution, sharing nothing with these sources.
const reference = JSON.parse(
  readFileSync(new URL("../../../test/oracle/reference/branch-checks.json", import.meta.url), "utf8"),
) as readonly ReferenceCheck[];

describe("an independent implementation in numpy and scipy", () => {
  test.each(reference)("reads the same of branches %#", ({ paired, tolerance, window, branches, expected }) => {
    const runs = branches.flatMap(({ batch_size: batchSize, losses }) =>
      losses.map((own, seed) => ({
        batchSize,
        seed: paired ? String(seed) : undefined,
        losses: own.map((loss, step) => ({ step, loss })),
      })),
    );
    const check = checkBranches(runs, { tolerance, window });
    if (!check.read) throw new Error(check.reason);
    for (const [place, { loss, low, high, excess, verdict = "smallest" }] of expected.entries()) {
      const found = check.branches[place];
      expect(found?.verdict).toBe(verdict);
      // Losses of about one, both in double precision.
      for (const [value, wanted] of [
        [found?.loss, loss],
        [found?.lossLow, low],
        [found?.lossHigh, high],
        [found?.excess, excess?.[0]],
        [found?.excessLow, excess?.[1]],
        [found?.excessHigh, excess?.[2]],
      ]) {
        if (wanted === undefined) expect(value).toBeUndefined();
        else expect(value).toBeCloseTo(wanted, 9);
      }
    }
  });

  test("reaches every verdict", () => {
    const verdicts = new Set(reference.flatMap(({ expected }) => expected.map(({ verdict }) => verdict)));
    expect(verdicts).toEqual(new Set([undefined, "within", "beyond", "not settled"]));
  });
});
