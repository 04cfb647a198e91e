import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { type NoiseScale, type RecommendedRange, RunEstimator, type RunPoint, RunWatch } from "../src/index.ts";

interface Reference {
  readonly seed: number;
  readonly factor: number;
  readonly dwell: number;
  readonly batch_sizes: readonly (readonly [index: number, verdict: string, uncalibrated: boolean])[];
  readonly signals: readonly (readonly [index: number, state: string])[];
  readonly jumps: readonly (readonly [index: number, lowBefore: number])[];
}

// Made by test/oracle/run_watch.py, which shares nothing with these sources but the history below.
const references = JSON.parse(
  readFileSync(new URL("../../../test/oracle/reference/watches.json", import.meta.url), "utf8"),
) as readonly Reference[];

const measurements = 6000;
const batchSize = 256;
const centres = [20, 40, 110, 150, 256, 420, 560, 1100, 3000];

interface Row {
  readonly now: NoiseScale;
  /** Plain averages: over 50 measurements, over those that a batch size is decided by, over 400. */
  readonly quick: NoiseScale;
  readonly plain: NoiseScale;
  readonly long: NoiseScale;
  readonly uncalibrated: boolean;
  readonly heldBack: boolean;
}

/** Park and Miller's generator (1988): whole numbers, the same as the oracle's. */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state;
  };
}

function noiseScale(low: number, high: number | undefined): NoiseScale {
  const identifiable = high !== undefined;
  return {
    bSimple: high === undefined ? undefined : (low + high) / 2,
    bSimpleLow: low,
    bSimpleHigh: high,
    identifiable,
    invalid: false,
    gradientSquaredNorm: 1,
    covarianceTrace: 1,
  };
}

function history(seed: number): Row[] {
  const next = numbers(seed);
  const rows: Row[] = [];
  while (rows.length < measurements) {
    const centre = centres[next() % centres.length] as number;
    const agrees = next() % 5 > 0;
    const lost = next() % 4 === 0;
    const uncalibrated = next() % 2 === 0;
    const heldBack = next() % 8 === 0;
    const longLost = next() % 3 > 0 && lost;
    const quickAgrees = next() % 5 > 0;
    const further = next() % 3 === 0;
    for (let left = 30 + (next() % 900); left > 0; left -= 1) {
      const low = centre + (next() % (Math.floor(centre / 8) + 1));
      const odd = next() % 10 === 0;
      const near = agrees ? low : 256;
      const far = low > 256 ? 4 * low : Math.floor(low / 4);
      const plain = further ? far : near;
      const quick = quickAgrees ? low : 256;
      rows.push({
        now: noiseScale(low, lost !== odd ? undefined : low + Math.floor(centre / 4)),
        quick: noiseScale(quick - Math.floor(quick / 3), lost ? undefined : quick * 2),
        plain: noiseScale(plain - Math.floor(plain / 3), lost ? undefined : plain * 2),
        long: noiseScale(low - Math.floor(low / 4), longLost ? undefined : low * 2),
        uncalibrated,
        heldBack,
      });
    }
  }
  return rows.slice(0, measurements);
}

const somePoint: RunPoint = new RunEstimator({}).add({
  step: 0,
  units: batchSize,
  small: { batchSize: 32, meanSquaredNorm: 1 },
  big: { batchSize, squaredNorm: 0.5 },
});

test.each(references)(
  "what is told of history $seed agrees with the oracle",
  ({ seed, factor, dwell, ...expected }) => {
    const watch = new RunWatch();
    const told: Record<"batch_sizes" | "signals" | "jumps", unknown[]> = { batch_sizes: [], signals: [], jumps: [] };
    history(seed).forEach(({ now, quick, plain, long, uncalibrated, heldBack }, i) => {
      const point: RunPoint = { ...somePoint, ...now, heldBack: heldBack ? "learning_rate" : undefined };
      const range = ({ bSimpleLow: low, bSimpleHigh: high }: NoiseScale) => ({ low, high });
      const recommended: RecommendedRange = { ...range(now), uncalibrated, plain: () => range(plain) };
      const average = (horizon: number): NoiseScale => {
        const found = new Map([
          [50, quick],
          [400, long],
        ]).get(horizon);
        if (found === undefined) throw new Error(`the watch asked for ${horizon} measurements`);
        return found;
      };
      const settings = { batchFactor: factor, jumpFactor: factor, dwell };
      for (const change of watch.add(point, recommended, average, settings)) {
        if (change.kind === "batch_size") told.batch_sizes.push([i, change.verdict, change.uncalibrated]);
        else if (change.kind === "signal") told.signals.push([i, change.state]);
        else told.jumps.push([i, change.before.bSimpleLow]);
      }
    });
    expect(told).toEqual(expected);
  },
);

test("the histories have every kind of change", () => {
  const verdicts = new Set(references.flatMap(({ batch_sizes }) => batch_sizes.map(([, verdict]) => verdict)));
  expect(verdicts).toEqual(new Set(["fine", "too_large", "too_small"]));
  expect(new Set(references.flatMap(({ signals }) => signals.map(([, state]) => state)))).toEqual(
    new Set(["found", "lost"]),
  );
  expect(references.flatMap(({ jumps }) => jumps).length).toBeGreaterThan(5);
});
