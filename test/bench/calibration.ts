// How often a calibrated interval holds the critical batch size of a further run of the project: a sweep is simulated, its
// frontier fitted, the project calibrated, and B_simple of a run that is no part of the sweep turned into an interval.
// Usage: node --conditions=@noisescale/source test/bench/calibration.ts [PROJECTS]

import { calibratedRun } from "../../packages/statistics/test/simulated-calibration.ts";

const projects = Number(process.argv[2] ?? 1000);

const sizes = (count: number): number[] => Array.from({ length: count }, (_, i) => 16 * 256 ** (i / (count - 1)));
const median = (values: readonly number[]): number =>
  values.toSorted((one, other) => one - other)[values.length >> 1] ?? Number.NaN;

console.log("B_crit/B_simple .2; batch sizes 16 to 4096; errors of ln B_simple in a run .05.");
console.log("sizes × seeds | noise of ln steps | ln B_simple between batch sizes | held | median high/low | none");
for (const { count, seeds } of [
  { count: 4, seeds: 1 },
  { count: 6, seeds: 1 },
  { count: 6, seeds: 3 },
  { count: 12, seeds: 3 },
]) {
  // The bootstrap of a sweep with seeds costs some hundred times a sweep without.
  const simulated = seeds === 1 ? projects : Math.ceil(projects / 4);
  for (const stepDeviation of [0.05, 0.2]) {
    for (const batchSizeDeviation of [0, 0.3]) {
      const found = Array.from({ length: simulated }, (_, i) =>
        calibratedRun({
          seed: 7000 * count + 100_000 * seeds + i,
          batchSizes: sizes(count),
          seeds,
          ratio: 0.2,
          stepDeviation,
          batchSizeDeviation,
          errorDeviation: 0.05,
        }),
      );
      const made = found.filter((project) => project !== undefined);
      console.log(
        [
          `${count} × ${seeds}`,
          stepDeviation,
          batchSizeDeviation,
          (made.filter(({ held }) => held).length / made.length).toFixed(3),
          Math.exp(median(made.map(({ logWidth }) => logWidth))).toFixed(2),
          found.length - made.length,
        ].join(" | "),
      );
    }
  }
}
