import { hysteresisFactor } from "./recommendation.ts";
import type { RunSettings } from "./run-settings.ts";
import type { StateReader, StateWriter } from "./state-bytes.ts";

/**
 * Temperature of the training, ε/B; for Adam-like optimizers ε/√B. What leaves it as it is leaves the training's noise as
 * it is (the linear and the square-root scaling rule), and B_simple moves with it: at rest in a quadratic basin
 * |G|² ∝ ε/B, so that B_simple ∝ B/ε. Its change is therefore no change of the data.
 *
 * Source: McCandlish et al. 2018, arXiv:1812.06162, appendix C; Malladi et al. 2022, arXiv:2205.10287, for Adam.
 * @param learningRate - ε
 * @param batchSize - B [units]
 */
export function temperature(learningRate: number, batchSize: number, optimizer?: RunSettings["optimizer"]): number {
  return learningRate / (optimizer === "adam" ? Math.sqrt(batchSize) : batchSize);
}

/** Measurements that say what the temperature is now, and what it was while the filter learned what it knows. */
const nowHorizon = 16;
const memoryHorizon = 100;

/**
 * Below this share of the memory's temperature nothing is trained any more. A rate that goes to 0 is there after 88 measurements,
 * and would otherwise be held back until the memory's sum is 0 too, tens of thousands later.
 */
const stillShare = 1e-4;

/**
 * Whether the temperature is being changed: that of the last 16 measurements and that of the last 100 are more than a
 * factor apart. In about that time the filter follows what the change does to B_simple; a schedule that moves it by less
 * within it is followed as it goes, which is nearer to the truth than what stood before. Where the rate has gone to nothing the
 * weights stand, and with them B_simple, which is followed. Rates and batch sizes are averaged apart, each exponentially weighted and bias-corrected
 * (decay a measurement (h − 1)/(h + 1)), so that the smaller batch at the end of an epoch is no change.
 */
export class TemperatureWatch {
  readonly #optimizer: RunSettings["optimizer"];
  /** Sums of the weights, of the weighted rates and of the weighted batch sizes: now, then over the memory. */
  readonly #sums = new Float64Array(6);

  constructor(optimizer: RunSettings["optimizer"]) {
    this.#optimizer = optimizer;
  }

  /**
   * @param learningRate - ≥ 0
   * @param batchSize - [units]
   */
  add(learningRate: number, batchSize: number): void {
    this.#average(0, nowHorizon, learningRate, batchSize);
    this.#average(3, memoryHorizon, learningRate, batchSize);
  }

  /** True where the two are further apart than the recommendation's hysteresis, and the first is not nothing; no rate, no change. */
  get changing(): boolean {
    const factor = this.#temperature(0) / this.#temperature(3);
    return factor > hysteresisFactor || (factor < 1 / hysteresisFactor && factor > stillShare);
  }

  write(writer: StateWriter): void {
    writer.numbers(this.#sums);
  }

  static read(reader: StateReader, optimizer: RunSettings["optimizer"]): TemperatureWatch {
    const read = new TemperatureWatch(optimizer);
    reader.fill(read.#sums);
    return read;
  }

  #average(place: number, horizon: number, learningRate: number, batchSize: number): void {
    const decay = (horizon - 1) / (horizon + 1);
    this.#sums[place] = decay * this.#sum(place) + 1;
    this.#sums[place + 1] = decay * this.#sum(place + 1) + learningRate;
    this.#sums[place + 2] = decay * this.#sum(place + 2) + batchSize;
  }

  #temperature(place: number): number {
    const weight = this.#sum(place);
    return temperature(this.#sum(place + 1) / weight, this.#sum(place + 2) / weight, this.#optimizer);
  }

  #sum(place: number): number {
    return this.#sums[place] as number;
  }
}
