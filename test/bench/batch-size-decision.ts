// How often a batch that is right draws a message on a stationary run, and how soon one that is 4× off does.
// Usage: node --conditions=@noisescale/source test/bench/batch-size-decision.ts [runs a row] [measurements] [kind] [seed]
import { defaultWatchSettings, type RunChange, RunEstimator, type RunSettings, RunWatch } from "@noisescale/statistics";
import { type Scatter, stationaryForms, stationarySquares } from "./simulated-squares.ts";

const [falseRuns = 20, longRun = 100_000] = process.argv.slice(2, 4).map(Number);
const only = process.argv[4];
/** 0: the seeds on which the plain average's length was chosen too. */
const seed = Number(process.argv[5] ?? 0);
const foundRuns = 100;
const foundWithin = 1000;
const recommended = 256;
const parts = 8;

/** How the measurements scatter; `b_noise`: normally, and B_noise, measured with every tenth of them, is the basis. */
type Kind = Scatter | "b_noise";

interface Case {
  readonly kind: Kind;
  /** B_simple over the recommended batch size; 1: no latency ratio. */
  readonly ratio: number;
}

interface Told {
  readonly measurement: number;
  readonly change: RunChange;
}

/** What a run's watch tells of a batch that is `off` times the recommended one. */
function watch({ kind, ratio }: Case, off: number, seed: number, measurements: number): Told[] {
  const bSimple = ratio * recommended;
  const settings: RunSettings = ratio === 1 ? {} : { latencyRatio: recommended ** 2 / bSimple };
  const estimator = new RunEstimator(settings);
  const runWatch = new RunWatch();
  const plain = (horizon: number) => estimator.plain(horizon);
  const told: Told[] = [];
  const batchSize = off * recommended;
  let step = 0;
  const run = { seed, measurements, bSimple, batchSize, parts };
  for (const squares of kind === "b_noise"
    ? stationaryForms({ ...run, every: 10 })
    : stationarySquares({ ...run, scatter: kind })) {
    const point = estimator.add({ step, units: batchSize, ...squares });
    for (const change of runWatch.add(point, estimator.recommendedRange(point), plain, defaultWatchSettings)) {
      told.push({ measurement: step + 1, change });
    }
    step += 1;
  }
  return told;
}

/** By the basis that the row is about: until B_noise is known B_simple stands in, as an indicator. */
const verdict =
  ({ kind }: Case, want: "too_large" | "too_small") =>
  ({ change }: Told) =>
    change.kind === "batch_size" && change.verdict === want && (kind === "b_noise" ? !change.uncalibrated : true);

/** Runs out of so many, as a share with the number. */
const share = (count: number, of: number): string => `${((100 * count) / of).toFixed(1)} % (${count} of ${of})`;

function found(of: Case, off: number, want: "too_large" | "too_small"): string {
  const after: number[] = [];
  for (let run = 0; run < foundRuns; run += 1) {
    const first = watch(of, off, 77_003 * (run + 1) + off * 64 + seed, foundWithin).find(verdict(of, want));
    if (first !== undefined) after.push(first.measurement);
  }
  after.sort((one, other) => one - other);
  return `${share(after.length, foundRuns)}, median ${after[Math.floor(after.length / 2)] ?? "–"}`;
}

const all: readonly Kind[] = ["normal", "lognormal", "student-t-3", "ar-1", "b_noise"];
const kinds = all.filter((kind) => only === undefined || only === kind);
const total = { runs: 0, batch: 0, lost: 0, jump: 0 };
console.log(`A run has ${longRun.toLocaleString("en-US")} measurements; dwell ${defaultWatchSettings.dwell}.`);
console.log("| run | 𝓑/B | message at B = recommended | signal lost | jump | 4 B found | B/4 found |");
console.log("| --- | --- | --- | --- | --- | --- | --- |");
for (const kind of kinds) {
  for (const ratio of [1, 1 / 4, 16]) {
    const of = { kind, ratio };
    const runs = Array.from({ length: falseRuns }, (_, run) => watch(of, 1, 104_729 * (run + 1) + seed, longRun));
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
      kind,
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
