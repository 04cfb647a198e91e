// How often a batch that is right draws a message on a stationary run, and how soon one that is 4× off does.
// Usage: node --conditions=@noisescale/source test/bench/batch-size-decision.ts [runs a row] [measurements] [scatter]
import { defaultWatchSettings, type RunChange, RunEstimator, type RunSettings, RunWatch } from "@noisescale/statistics";
import { type Scatter, stationarySquares } from "./simulated-squares.ts";

const [falseRuns = 40, longRun = 100_000] = process.argv.slice(2, 4).map(Number);
const only = process.argv[4];
const foundRuns = 100;
const foundWithin = 1000;
const recommended = 256;
const parts = 8;

interface Case {
  readonly scatter: Scatter;
  /** B_simple over the recommended batch size; 1: no latency ratio. */
  readonly ratio: number;
}

interface Told {
  readonly measurement: number;
  readonly change: RunChange;
}

/** What a run's watch tells of a batch that is `off` times the recommended one. */
function watch({ scatter, ratio }: Case, off: number, seed: number, measurements: number): Told[] {
  const bSimple = ratio * recommended;
  const settings: RunSettings = ratio === 1 ? {} : { latencyRatio: recommended ** 2 / bSimple };
  const estimator = new RunEstimator(settings);
  const runWatch = new RunWatch();
  const plain = (horizon: number) => estimator.plain(horizon);
  const told: Told[] = [];
  const batchSize = off * recommended;
  let step = 0;
  for (const squares of stationarySquares({ seed, measurements, bSimple, batchSize, parts, scatter })) {
    const point = estimator.add({ step, units: batchSize, ...squares });
    for (const change of runWatch.add(point, estimator.recommendedRange(point), plain, defaultWatchSettings)) {
      told.push({ measurement: step + 1, change });
    }
    step += 1;
  }
  return told;
}

const verdict = (want: "too_large" | "too_small") => (one: Told) =>
  one.change.kind === "batch_size" && one.change.verdict === want;

/** Runs out of so many, as a share with the number. */
const share = (count: number, of: number): string => `${((100 * count) / of).toFixed(1)} % (${count} of ${of})`;

function found(of: Case, off: number, want: "too_large" | "too_small"): string {
  const after: number[] = [];
  for (let run = 0; run < foundRuns; run += 1) {
    const first = watch(of, off, 77_003 * (run + 1) + off * 64, foundWithin).find(verdict(want));
    if (first !== undefined) after.push(first.measurement);
  }
  after.sort((one, other) => one - other);
  return `${share(after.length, foundRuns)}, median ${after[Math.floor(after.length / 2)] ?? "–"}`;
}

const all: readonly Scatter[] = ["normal", "lognormal", "student-t-3"];
const scatters = all.filter((scatter) => only === undefined || only === scatter);
const total = { runs: 0, batch: 0, lost: 0, jump: 0 };
console.log(`A run has ${longRun.toLocaleString("en-US")} measurements; dwell ${defaultWatchSettings.dwell}.`);
console.log("| scatter | B_simple/B | message at B = recommended | signal lost | jump | 4 B found | B/4 found |");
console.log("| --- | --- | --- | --- | --- | --- | --- |");
for (const scatter of scatters) {
  for (const ratio of [1, 1 / 4, 16]) {
    const of = { scatter, ratio };
    const runs = Array.from({ length: falseRuns }, (_, run) => watch(of, 1, 104_729 * (run + 1), longRun));
    const having = (test: (change: RunChange) => boolean): number =>
      runs.filter((told) => told.some(({ change }) => test(change))).length;
    const batch = having(({ kind }) => kind === "batch_size");
    const lost = having((change) => change.kind === "signal" && change.state === "lost");
    const jump = having(({ kind }) => kind === "jump");
    total.runs += runs.length;
    total.batch += batch;
    total.lost += lost;
    total.jump += jump;
    const columns = [
      scatter,
      ratio,
      share(batch, falseRuns),
      share(lost, falseRuns),
      share(jump, falseRuns),
      found(of, 4, "too_large"),
      found(of, 1 / 4, "too_small"),
    ];
    console.log(`| ${columns.join(" | ")} |`);
  }
}
console.log(
  `In all ${total.runs} runs: batch ${share(total.batch, total.runs)}, lost ${share(total.lost, total.runs)}, jump ${share(total.jump, total.runs)}.`,
);
