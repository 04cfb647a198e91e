// Frontier fitted to simulated sweeps: how often its 95 % intervals hold the truth, how wide they are, and what they cost.
// Usage: node --conditions=@noisescale/source test/bench/frontier.ts [SWEEPS]

import { type FittedFrontier, fitFrontier } from "@noisescale/statistics";
import { seededUniform } from "./synthetic-measurements.ts";

const sweeps = Number(process.argv[2] ?? 1000);
const minSteps = 500;
const designs = [
  { sizes: 6, seeds: 1 },
  { sizes: 6, seeds: 2 },
  { sizes: 6, seeds: 3 },
  { sizes: 12, seeds: 3 },
];

function median(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[values.length >> 1] ?? Number.NaN;
}

const holds = (low: number | undefined, high: number | undefined, truth: number): boolean =>
  (low ?? 0) <= truth && truth <= (high ?? Number.POSITIVE_INFINITY);

console.log("Batch sizes 16 to 32768, S_min 500, lognormal noise a run; share of intervals that hold the truth.");
console.log("sizes × seeds | B_crit | noise | B_crit | S_min | E_min | median high/low | no fit | ms a fit");
for (const { sizes, seeds } of designs) {
  for (const critical of [100, 800, 5000]) {
    for (const deviation of [0.05, 0.3]) {
      const uniform = seededUniform(critical + 10 * sizes + seeds);
      // Box and Muller's method
      const normal = (): number => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
      const fits: FittedFrontier[] = [];
      const started = performance.now();
      for (let sweep = 0; sweep < sweeps; sweep += 1) {
        const runs = Array.from({ length: sizes * seeds }, (_, i) => {
          const batchSize = 16 * 2048 ** (Math.floor(i / seeds) / (sizes - 1));
          return { batchSize, steps: minSteps * (1 + critical / batchSize) * Math.exp(deviation * normal()) };
        });
        const found = fitFrontier(runs);
        if (found.fitted) fits.push(found);
      }
      const elapsedMs = performance.now() - started;
      const share = (held: (fit: FittedFrontier) => boolean): string =>
        (fits.filter(held).length / fits.length).toFixed(3);
      console.log(
        [
          `${sizes} × ${seeds}`,
          critical,
          deviation,
          share((fit) => holds(fit.criticalBatchSizeLow, fit.criticalBatchSizeHigh, critical)),
          share((fit) => holds(fit.minStepsLow, fit.minStepsHigh, minSteps)),
          share((fit) => holds(fit.minUnitsLow, fit.minUnitsHigh, minSteps * critical)),
          median(
            fits.map(
              (fit) => (fit.criticalBatchSizeHigh ?? Number.POSITIVE_INFINITY) / (fit.criticalBatchSizeLow ?? 0),
            ),
          ).toFixed(2),
          sweeps - fits.length,
          (elapsedMs / sweeps).toFixed(1),
        ].join(" | "),
      );
    }
  }
}
