import { hysteresisFactor } from "./recommendation.ts";
import type { StateReader, StateWriter } from "./state-bytes.ts";

/** Settings of a step. */
export interface TrainingSettings {
  readonly step: number;
  /** Undefined where the hook does not report it. */
  readonly learningRate: number | undefined;
  /** [units] */
  readonly batchSize: number;
}

/** A step of the learning rate or of the batch size: at least one factor is defined. */
export interface SettingChange {
  /** The first with the new settings. */
  readonly step: number;
  /** New over old; undefined where the rate did not step. */
  readonly learningRateFactor: number | undefined;
  readonly batchSizeFactor: number | undefined;
}

/** Measurements on each side of a change. */
const side = 4;

/**
 * Finds steps of learning rate and batch size: four measurements and the four after them stand further apart than either
 * four spread, and by more than the recommendation's hysteresis. A schedule that goes on (warm-up, cosine, decay), batches of uneven
 * size and the smaller batch at an epoch's end are none. It is known with the fourth measurement after it.
 */
export class SettingChanges {
  #last: TrainingSettings[] = [];

  /** @param settings - of the next measurement, in order of step */
  add(settings: TrainingSettings): SettingChange | undefined {
    this.#last.push(settings);
    if (this.#last.length > 2 * side) this.#last.shift();
    const [before, changed] = [this.#last[side - 1], this.#last[side]];
    if (this.#last.length < 2 * side || before === undefined || changed === undefined) return undefined;
    // The two sides stand no further apart than the neighbours at their border: nearly always that ends it.
    if (!isApart(before.learningRate ?? Number.NaN, changed.learningRate ?? Number.NaN)) {
      if (!isApart(before.batchSize, changed.batchSize)) return undefined;
    }
    const learningRateFactor = stepFactor(this.#last.map(({ learningRate }) => learningRate ?? Number.NaN));
    const batchSizeFactor = stepFactor(this.#last.map(({ batchSize }) => batchSize));
    if (learningRateFactor === undefined && batchSizeFactor === undefined) return undefined;
    return { step: changed.step, learningRateFactor, batchSizeFactor };
  }

  write(writer: StateWriter): void {
    writer.number(this.#last.length);
    for (const { step, learningRate, batchSize } of this.#last) {
      writer.number(step);
      writer.number(learningRate ?? Number.NaN);
      writer.number(batchSize);
    }
  }

  static read(reader: StateReader): SettingChanges {
    const read = new SettingChanges();
    read.#last = Array.from({ length: reader.number() }, () => {
      const [step, learningRate, batchSize] = [reader.number(), reader.number(), reader.number()];
      return { step, learningRate: Number.isNaN(learningRate) ? undefined : learningRate, batchSize };
    });
    return read;
  }
}

/** The changes of a series. */
export function settingChanges(series: Iterable<TrainingSettings>): SettingChange[] {
  const changes = new SettingChanges();
  return [...series].flatMap((settings) => changes.add(settings) ?? []);
}

/** Ratio of the two sides' geometric means where they stand apart; a value that is not known or not above 0 is no side. */
function stepFactor(values: readonly number[]): number | undefined {
  const logs = values.map(Math.log);
  const before = logs.slice(0, side);
  const after = logs.slice(side);
  const gap = Math.max(Math.min(...after) - Math.max(...before), Math.min(...before) - Math.max(...after));
  const apart = gap > Math.max(Math.log(hysteresisFactor), spread(before), spread(after));
  return apart && gap < Number.POSITIVE_INFINITY ? Math.exp(mean(after) - mean(before)) : undefined;
}

function isApart(one: number, other: number): boolean {
  return one > hysteresisFactor * other || other > hysteresisFactor * one;
}

function spread(values: readonly number[]): number {
  return Math.max(...values) - Math.min(...values);
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
