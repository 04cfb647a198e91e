import type { FrontierTarget } from "@noisescale/protocol";
import { FirstCrossing, SmoothedLoss } from "@noisescale/statistics";
import { effectiveSegments } from "../attempts.ts";
import { columnOf, seriesRowWidth, stepColumn } from "../series-row.ts";
import type { Evaluation, RunRow, Store } from "../store/store.ts";

/** What of a run is followed to the target. */
export type CrossingSource = "evaluation" | "training_loss";

/** How a run of a group came to the target. */
export interface RunCrossing {
  readonly run: RunRow;
  /** Steps until the target was met; undefined: never, or not known, as the problem says. */
  readonly steps: number | undefined;
  /** Mean units a step, up to the target; undefined where they were not constant. */
  readonly batchSize: number | undefined;
  /** The largest, up to the target: a rate that is warmed up and let down again is known by its height. */
  readonly learningRate: number | undefined;
  /** Smoothed training loss at the target. */
  readonly loss: number | undefined;
  /** Why the run cannot be a run of the sweep; undefined where it can. */
  readonly problem: string | undefined;
}

/** A batch size is constant where nine of ten steps are within a twentieth of their median: an epoch's last batch is short. */
const constantShare = 0.9;
const constantFactor = 1.05;

/** Reads when a run met a target, and at what batch size and learning rate. One pass over its series. */
export async function readCrossing(
  store: Store,
  run: RunRow,
  target: FrontierTarget,
  source: CrossingSource,
): Promise<RunCrossing> {
  const crossing = new FirstCrossing(target);
  if (source === "evaluation") {
    for await (const { step, value } of evaluationsOf(store, run, target.name)) {
      crossing.add(step, value);
      if (crossing.step !== undefined || crossing.metAtFirst) break;
    }
  }
  const settings = await readSettings(store, run, crossing, source);
  return { run, steps: crossing.step, ...settings, problem: problemOf(run, crossing, settings) };
}

type RunSettingsRead = Pick<RunCrossing, "batchSize" | "learningRate" | "loss">;

function problemOf(run: RunRow, crossing: FirstCrossing, { batchSize }: RunSettingsRead): string | undefined {
  if (run.fold === undefined) return "has no measurement";
  if (crossing.metAtFirst) return "met the target before its first value, so it is not known when";
  if (crossing.step === undefined && run.state === "live") return "is still running and has not met the target";
  if (crossing.step !== undefined && !(crossing.step > 0)) return "met the target at step 0";
  if (batchSize === undefined) return "has no constant batch size up to the target";
  return undefined;
}

/** Of the attempts that count, in order of step. */
async function* evaluationsOf(store: Store, run: RunRow, name: string): AsyncIterable<Evaluation> {
  for (const { attempt, from, to } of effectiveSegments(await store.attemptStarts(run.id), 0)) {
    yield* store.evaluations(run.id, name, attempt, { from, to });
  }
}

const units = columnOf("batch_size");
const rates = columnOf("learning_rate");
const losses = columnOf("loss");

/** Reads the series up to the target; the training loss's own crossing is found on the way. */
async function readSettings(
  store: Store,
  run: RunRow,
  crossing: FirstCrossing,
  source: CrossingSource,
): Promise<RunSettingsRead> {
  const sizes = new BatchSizes();
  const smoothed = new SmoothedLoss();
  const follows = source === "training_loss";
  const last = follows ? Number.MAX_SAFE_INTEGER : (crossing.step ?? Number.MAX_SAFE_INTEGER);
  let learningRate: number | undefined;
  reading: for await (const { rows } of store.series(run.id, { from: 0, to: Math.ceil(last) })) {
    for (let at = 0; at < rows.length; at += seriesRowWidth) {
      const step = rows[at + stepColumn] as number;
      if (step > last && sizes.count > 0) break reading;
      sizes.add(step, rows[at + units] as number);
      const rate = rows[at + rates] as number;
      if (rate > (learningRate ?? 0)) learningRate = rate;
      const loss = rows[at + losses] as number;
      if (Number.isNaN(loss)) continue;
      smoothed.add(step, loss);
      if (!follows || smoothed.value === undefined) continue;
      crossing.add(smoothed.value.step, smoothed.value.loss);
      if (crossing.step !== undefined || crossing.metAtFirst) break reading;
    }
  }
  return { batchSize: sizes.constant, learningRate, loss: smoothed.value?.loss };
}

/** Units of the steps seen. */
class BatchSizes {
  #values = new Float64Array(1024);
  #count = 0;
  #lastStep = -1;
  #steps = 0;
  #units = 0;

  get count(): number {
    return this.#count;
  }

  add(step: number, unitsOfStep: number): void {
    if (this.#count === this.#values.length) {
      const grown = new Float64Array(2 * this.#count);
      grown.set(this.#values);
      this.#values = grown;
    }
    this.#values[this.#count] = unitsOfStep;
    this.#count += 1;
    const steps = this.#lastStep < 0 ? 1 : step - this.#lastStep;
    this.#steps += steps;
    this.#units += steps * unitsOfStep;
    this.#lastStep = step;
  }

  /** Mean over the steps; undefined where it is not constant. */
  get constant(): number | undefined {
    const sorted = this.#values.slice(0, this.#count).sort();
    const median = sorted[this.#count >> 1];
    if (median === undefined) return undefined;
    const near = sorted.filter((value) => value <= median * constantFactor && value >= median / constantFactor);
    return near.length >= constantShare * this.#count ? this.#units / this.#steps : undefined;
  }
}
