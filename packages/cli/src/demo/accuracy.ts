import { tensor2d, tidy } from "@tensorflow/tfjs-core";
import type { Sequential } from "@tensorflow/tfjs-layers";
import { classes, type DigitSet, pictureSide } from "./digits.ts";

/** Share of the digits whose largest score is the right one. */
export async function accuracy(network: Sequential, digits: DigitSet): Promise<number> {
  const predicted = tidy(() => {
    const scores = network.predict(tensor2d(digits.pictures, [digits.count, pictureSide ** 2]), { batchSize: 500 });
    return Array.isArray(scores) ? undefined : scores;
  });
  const scores = (await predicted?.data()) ?? new Float32Array();
  predicted?.dispose();
  let hits = 0;
  for (let row = 0; row < digits.count; row += 1) {
    const guess = largest(scores.subarray(row * classes, (row + 1) * classes));
    if (digits.labels[row * classes + guess] === 1) hits += 1;
  }
  return hits / digits.count;
}

function largest(values: ArrayLike<number>): number {
  let place = 0;
  for (let index = 1; index < values.length; index += 1) {
    if ((values[index] ?? 0) > (values[place] ?? 0)) place = index;
  }
  return place;
}
