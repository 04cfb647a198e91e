import { seededUniform, syntheticMeasurement } from "./synthetic-measurements.ts";

export interface FoldCost {
  /** A measurement, in a run that has 1e3 [µs]. */
  readonly earlyMicroseconds: number;
  /** A measurement, in a run that has 1e6 [µs]. */
  readonly lateMicroseconds: number;
  /** Median over pairs taken one after the other. */
  readonly ratio: number;
}

const longRun = 1_000_000;
const shortRun = 1000;
const batchSize = 1000;
const pairs = 41;

function median(values: readonly number[]): number {
  const sorted = [...values].sort((one, other) => one - other);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/**
 * What a measurement costs the collector (checks, store, sync, fold and answer) in a run that has 1e3 measurements and in
 * one that has 1e6, in turns, so that the machine's moods hit both alike.
 *
 * @param post - sends a batch to a run of the collector and waits for the answer
 */
export async function measureFoldCost(post: (run: string, body: Buffer) => Promise<void>): Promise<FoldCost> {
  const uniform = seededUniform(3);
  const next = new Map<string, number>();
  const batch = async (run: string): Promise<number> => {
    const first = next.get(run) ?? 0;
    next.set(run, first + batchSize);
    const measurements = Array.from({ length: batchSize }, (_, i) => syntheticMeasurement(first + i, uniform));
    const body = Buffer.from(JSON.stringify({ measurements }));
    const started = performance.now();
    await post(run, body);
    return (1000 * (performance.now() - started)) / batchSize;
  };
  for (let stored = 0; stored < longRun; stored += batchSize) await batch("long");
  const early: number[] = [];
  const late: number[] = [];
  for (let pair = 0; pair < pairs; pair += 1) {
    for (let stored = 0; stored < shortRun; stored += batchSize) await batch(`short-${pair}`);
    const order = pair % 2 === 0 ? (["early", "late"] as const) : (["late", "early"] as const);
    for (const which of order) {
      if (which === "early") early.push(await batch(`short-${pair}`));
      else late.push(await batch("long"));
    }
  }
  return {
    earlyMicroseconds: median(early),
    lateMicroseconds: median(late),
    ratio: median(late.map((cost, i) => cost / (early[i] ?? Number.NaN))),
  };
}
