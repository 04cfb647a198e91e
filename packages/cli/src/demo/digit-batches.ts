import { type Tensor2D, tensor2d } from "@tensorflow/tfjs-core";
import { classes, type DigitSet, pictureSide } from "./digits.ts";
import { shuffled } from "./seeded-random.ts";

const pixels = pictureSide * pictureSide;

/** Batches of any size from one epoch after another, each shuffled anew and drawn without replacement. */
export class DigitBatches {
  readonly #digits: DigitSet;
  readonly #seed: number;
  #epoch = 0;
  #places: number[] = [];

  constructor(digits: DigitSet, seed: number) {
    this.#digits = digits;
    this.#seed = seed;
  }

  /** The next `count` digits: shapes [count, pixels] and [count, classes]. Dispose of both. */
  take(count: number): { readonly x: Tensor2D; readonly y: Tensor2D } {
    while (this.#places.length < count) this.#places.push(...this.#nextEpoch());
    const pictures = new Float32Array(count * pixels);
    const labels = new Float32Array(count * classes);
    this.#places.splice(0, count).forEach((place, row) => {
      pictures.set(this.#digits.pictures.subarray(place * pixels, (place + 1) * pixels), row * pixels);
      labels.set(this.#digits.labels.subarray(place * classes, (place + 1) * classes), row * classes);
    });
    return { x: tensor2d(pictures, [count, pixels]), y: tensor2d(labels, [count, classes]) };
  }

  #nextEpoch(): number[] {
    const places = Array.from({ length: this.#digits.count }, (_, place) => place);
    const epoch = shuffled(places, this.#seed + this.#epoch);
    this.#epoch += 1;
    return epoch;
  }
}
