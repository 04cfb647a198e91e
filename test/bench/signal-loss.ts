// How often a signal that stays is called lost, and how soon one that goes is, by the length of the plain average that the watch
// asks besides the filter: what its 400 measurements were chosen on. B_simple/B = 16, the edge of what can be seen.
// Usage: node --conditions=@noisescale/source test/bench/signal-loss.ts [runs a row] [measurements]
import { defaultWatchSettings, RunEstimator, type RunPoint, type SquaredNormPair } from "@noisescale/statistics";
import { SignalLoss } from "../../packages/statistics/src/signal-loss.ts";
import { type Scatter, stationarySquares } from "./simulated-squares.ts";

const [runs = 20, longRun = 100_000] = process.argv.slice(2).map(Number);
const lengths = [200, 400, 800];
const batchSize = 256;
const seen = 16 * batchSize;
const goneAfter = 3000;
const goneFor = 6000;

interface Losses {
  /** Measurements at which each length calls the signal lost. */
  readonly lost: readonly number[][];
  /** Measurements after which the filter does not tell the signal from 0. */
  readonly unseen: number;
}

function losses(squares: Iterable<SquaredNormPair>): Losses {
  const estimator = new RunEstimator({});
  const watches = lengths.map((length) => ({ length, signal: new SignalLoss(), lost: [] as number[] }));
  let step = 0;
  let unseen = 0;
  for (const pair of squares) {
    const point: RunPoint = estimator.add({ step, units: batchSize, ...pair });
    step += 1;
    if (!point.identifiable) unseen += 1;
    for (const { length, signal, lost } of watches) {
      if (signal.add(point, () => estimator.plain(length), defaultWatchSettings.dwell) === "lost") lost.push(step);
    }
  }
  return { lost: watches.map(({ lost }) => lost), unseen };
}

function* going(seed: number, scatter: Scatter): Generator<SquaredNormPair> {
  const run = { seed, batchSize, parts: 8, scatter };
  yield* stationarySquares({ ...run, measurements: goneAfter, bSimple: seen });
  yield* stationarySquares({ ...run, seed: seed + 1, measurements: goneFor, bSimple: 1e9 });
}

console.log(
  `${runs} runs of ${longRun.toLocaleString("en-US")} measurements, and as many whose signal goes at ${goneAfter}.`,
);
console.log(
  "| scatter | plain average over | runs that call it lost | times in all | a real loss told | after, median (latest) |",
);
console.log("| --- | --- | --- | --- | --- | --- |");
for (const scatter of ["normal", "lognormal", "student-t-3", "ar-1"] as const) {
  const stays = Array.from({ length: runs }, (_, run) =>
    losses(
      stationarySquares({
        seed: 104_729 * (run + 1),
        measurements: longRun,
        bSimple: seen,
        batchSize,
        parts: 8,
        scatter,
      }),
    ),
  );
  const goes = Array.from({ length: runs }, (_, run) => losses(going(7919 * (run + 1), scatter)));
  const unseen = stays.reduce((sum, run) => sum + run.unseen, 0) / (runs * longRun);
  console.log(
    `| ${scatter} | the filter alone does not tell it from 0 in ${(100 * unseen).toFixed(1)} % of the measurements | | | | |`,
  );
  lengths.forEach((length, i) => {
    const times = stays.map(({ lost }) => lost[i]?.length ?? 0);
    const after = goes
      .flatMap(({ lost }) => (lost[i] ?? []).filter((at) => at > goneAfter).slice(0, 1))
      .map((at) => at - goneAfter);
    after.sort((one, other) => one - other);
    const columns = [
      scatter,
      length,
      `${times.filter((count) => count > 0).length} of ${runs}`,
      times.reduce((sum, count) => sum + count, 0),
      `${after.length} of ${runs}`,
      `${after[after.length >> 1] ?? "–"} (${after.at(-1) ?? "–"})`,
    ];
    console.log(`| ${columns.join(" | ")} |`);
  });
}
