// What a test that knows tr Σ and how the measurements scatter could say of a batch that is 4× off, within the 1000 measurements
// that batch-size-decision.ts gives the watch: the mean of the one-step estimates of |G|² (GᵀHG for B_noise), beyond what the
// batch at the factor's edge gives in 2.5 % of runs, as often as an interval's end is wrong.
// Usage: node --conditions=@noisescale/source test/bench/batch-size-bound.ts [runs a row]
import { defaultWatchSettings } from "@noisescale/statistics";
import { type Scatter, stationaryForms, stationarySquares } from "./simulated-squares.ts";

const [runs = 400] = process.argv.slice(2).map(Number);
const measurements = 1000;
const recommended = 256;
const parts = 8;
const level = 0.025;

type Kind = Scatter | "b_noise";

/** Means over one run each of the estimates of |G|² in units of tr Σ/B, in order. */
function means(kind: Kind, bSimple: number, batchSize: number, seed: number): number[] {
  const found: number[] = [];
  for (let run = 0; run < runs; run += 1) {
    let sum = 0;
    let count = 0;
    const settings = { seed: seed * (run + 1), measurements, bSimple, batchSize, parts };
    if (kind === "b_noise") {
      for (const { hessian } of stationaryForms({ ...settings, every: 10 })) {
        if (hessian === undefined) continue;
        sum += 2 * hessian.big.value - hessian.small.value;
        count += 1;
      }
    } else {
      for (const { small, big } of stationarySquares({ ...settings, scatter: kind })) {
        sum += (parts * big.squaredNorm - small.meanSquaredNorm) / (parts - 1);
        count += 1;
      }
    }
    found.push(sum / count);
  }
  return found.sort((one, other) => one - other);
}

/** Share of runs at `off` times the recommended batch that lie beyond those at the factor's edge. */
function power(kind: Kind, ratio: number, off: number): number {
  const batchSize = off * recommended;
  const bSimple = ratio * recommended;
  const { batchFactor } = defaultWatchSettings;
  const edge = (off > 1 ? batchSize / batchFactor : batchSize * batchFactor) / recommended;
  // The recommendation goes with the root of B_simple where there is a latency ratio.
  const atEdge = means(kind, bSimple * (ratio === 1 ? edge : edge ** 2), batchSize, 7919);
  const limit = atEdge[Math.floor(runs * (off > 1 ? 1 - level : level))] ?? Number.NaN;
  const beyond = means(kind, bSimple, batchSize, 104_729).filter((mean) => (off > 1 ? mean > limit : mean < limit));
  return beyond.length / runs;
}

console.log("| run | 𝓑/B | 4 B | B/4 |");
console.log("| --- | --- | --- | --- |");
for (const kind of ["normal", "lognormal", "student-t-3", "ar-1", "b_noise"] as const) {
  for (const ratio of [1, 1 / 4, 16]) {
    const share = (off: number): string => `${(100 * power(kind, ratio, off)).toFixed(1)} %`;
    console.log(`| ${kind} | ${ratio} | ${share(4)} | ${share(1 / 4)} |`);
  }
}
