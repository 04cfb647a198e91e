import {
  type FrontierBasis,
  FrontierPrediction,
  type InverseNoiseScale,
  type PredictedFrontier,
} from "./predicted-frontier.ts";
import type { StateReader, StateWriter } from "./state-bytes.ts";

interface WaitingSteps {
  readonly steps: number;
  /** Of each step. */
  readonly units: number;
}

/** Where more wait, neighbours are taken together. */
const mostWaiting = 64;

/**
 * The frontier predicted from one noise scale over all steps of a run. Steps that come before there is a value, or between
 * two, wait for the next one and count at it. Those of one batch size wait as one; beyond 64, two neighbours become one with their
 * mean units, which leaves the sums right to first order in the difference.
 */
export class RunFrontier {
  #prediction: FrontierPrediction;
  #waiting: WaitingSteps[] = [];

  constructor(basis: FrontierBasis) {
    this.#prediction = new FrontierPrediction(basis);
  }

  /** @param steps - since the measurement before @param units - of each */
  wait(steps: number, units: number): void {
    const last = this.#waiting.at(-1);
    if (last?.units === units) {
      this.#waiting[this.#waiting.length - 1] = { steps: last.steps + steps, units };
      return;
    }
    this.#waiting.push({ steps, units });
    if (this.#waiting.length > mostWaiting) this.#waiting = inPairs(this.#waiting);
  }

  /** Counts every step that waits at this noise scale. */
  count(inverse: InverseNoiseScale): void {
    for (const { steps, units } of this.#waiting) this.#prediction.add(inverse, steps, units);
    this.#waiting = [];
  }

  get criticalBatchSize(): number | undefined {
    return this.#prediction.criticalBatchSize;
  }

  /** B_crit has an upper bound; once it has, it keeps one. */
  get bounded(): boolean {
    return this.#prediction.bounded;
  }

  /** Of the steps that were counted. */
  estimate(): PredictedFrontier {
    return this.#prediction.estimate();
  }

  write(writer: StateWriter): void {
    this.#prediction.write(writer);
    writer.number(this.#waiting.length);
    for (const { steps, units } of this.#waiting) {
      writer.number(steps);
      writer.number(units);
    }
  }

  static read(reader: StateReader, basis: FrontierBasis): RunFrontier {
    const read = new RunFrontier(basis);
    read.#prediction = FrontierPrediction.read(reader, basis);
    read.#waiting = Array.from({ length: reader.number() }, () => ({ steps: reader.number(), units: reader.number() }));
    return read;
  }
}

function inPairs(waiting: readonly WaitingSteps[]): WaitingSteps[] {
  const joined: WaitingSteps[] = [];
  for (let i = 0; i < waiting.length; i += 2) {
    const pair = waiting.slice(i, i + 2);
    const steps = pair.reduce((sum, one) => sum + one.steps, 0);
    joined.push({ steps, units: pair.reduce((sum, one) => sum + one.steps * one.units, 0) / steps });
  }
  return joined;
}
