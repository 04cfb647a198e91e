// When the recommendation is held back, over simulated runs whose B_simple goes with batch size over learning rate at once
// (500 at the start's settings, batch 256), and how soon the filter is within the hysteresis of the truth again.
// Usage: node --conditions=@noisescale/source test/bench/held-back.ts

import { type Observation, RunEstimator, type RunPoint } from "@noisescale/statistics";
import { observations } from "../../packages/statistics/test/simulated-run.ts";

const allSteps = 4000;
const change = 2000;
const seeds = 10;
const hysteresis = Math.log(1.25);
/** Stretches and marks of a schedule that has many. */
const shown = 4;

interface Schedule {
  /** Measurements; 4000 where it is left out. */
  readonly steps?: number;
  readonly rate: (step: number) => number;
  readonly batchSize: (step: number) => number;
}

const fixed = (): number => 256;
const late = (before: number, after: number) => (step: number) => (step < change ? before : after);
const warm = (step: number): number => Math.min((step + 1) / 200, 1);
const cosine = (step: number, least: number, steps = allSteps): number =>
  least + ((1 - least) / 2) * (1 + Math.cos((Math.PI * step) / steps));

const schedules: Readonly<Record<string, Schedule>> = {
  constant: { rate: () => 0.1, batchSize: fixed },
  "warm-up of 200, cosine to a tenth": { rate: (step) => 0.1 * warm(step) * cosine(step, 0.1), batchSize: fixed },
  "warm-up of 200, cosine to a thousandth": { rate: (step) => 0.1 * warm(step) * cosine(step, 1e-3), batchSize: fixed },
  "cosine of 300 to a tenth": { steps: 300, rate: (step) => 0.1 * cosine(step, 0.1, 300), batchSize: fixed },
  "cosine restarted every 100, to a tenth": { rate: (step) => 0.1 * cosine(step % 100, 0.1, 100), batchSize: fixed },
  "rate 0 from the middle to the end": { rate: late(0.1, 0), batchSize: fixed },
  "rate halved": { rate: late(0.1, 0.05), batchSize: fixed },
  "rate to a tenth": { rate: late(0.1, 0.01), batchSize: fixed },
  "rate times ten": { rate: late(0.01, 0.1), batchSize: fixed },
  "batch doubled": { rate: () => 0.1, batchSize: late(256, 512) },
  "batch doubled with its rate": { rate: late(0.1, 0.2), batchSize: late(256, 512) },
  "a batch of 16 every 40 steps": { rate: () => 0.1, batchSize: (step) => (step % 40 === 39 ? 16 : 256) },
};

function run(
  { steps = allSteps, rate, batchSize }: Schedule,
  seed: number,
): { readonly points: RunPoint[]; readonly truth: number[] } {
  const temperatureAt = (step: number): number => rate(step) / batchSize(step);
  const bSimple = (step: number): number => (500 * (0.1 / 256)) / temperatureAt(step);
  const estimator = new RunEstimator({ optimizer: "sgd" });
  const measured: Observation[] = observations({ seed, steps, bSimple, batchSize, dimensions: 40 });
  return {
    points: measured.map((observation) => estimator.add({ ...observation, learningRate: rate(observation.step) })),
    truth: measured.map(({ step }) => bSimple(step)),
  };
}

const median = (values: readonly number[]): number =>
  values.toSorted((one, other) => one - other)[values.length >> 1] ?? Number.NaN;

console.log("| schedule | held back | marked at | filter within 1.25 again after |");
console.log("| -------- | --------- | --------- | ------------------------------ |");
for (const [name, schedule] of Object.entries(schedules)) {
  const followed: number[] = [];
  let [held, marks] = ["", ""];
  for (let seed = 1; seed <= seeds; seed += 1) {
    const { points, truth } = run(schedule, seed);
    const isOff = ({ bSimple }: RunPoint, step: number): boolean =>
      bSimple === undefined || Math.abs(Math.log(bSimple / (truth[step] ?? Number.NaN))) > hysteresis;
    const first = points.findIndex((point, step) => step >= change && !isOff(point, step));
    followed.push(first - change);
    // The settings alone decide: the same for every seed.
    held = stretches(points.filter(({ heldBack }) => heldBack !== undefined).map(({ step }) => step)).join(", ");
    const steps = points.flatMap(({ settingChange }) => settingChange?.step ?? []);
    marks = [...steps.slice(0, shown), ...(steps.length > shown ? ["…"] : [])].join(", ");
  }
  const stepped =
    marks !== "" && schedule.rate(0) / schedule.batchSize(0) !== schedule.rate(change) / schedule.batchSize(change);
  console.log(`| ${name} | ${held || "–"} | ${marks || "–"} | ${stepped ? median(followed) : "–"} |`);
}

function stretches(numbers: readonly number[]): string[] {
  const found: [number, number][] = [];
  for (const number of numbers) {
    const last = found.at(-1);
    if (last !== undefined && last[1] === number - 1) last[1] = number;
    else found.push([number, number]);
  }
  const texts = found.map(([first, last]) => `${first} – ${last}`);
  if (texts.length <= shown) return texts;
  return [...texts.slice(0, shown), `… (${((100 * numbers.length) / allSteps).toFixed(0)} % of all)`];
}
