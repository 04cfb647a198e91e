import * as tf from "@tensorflow/tfjs-core";

/**
 * Elements that one float32 sum may take. Longer float32 sums lose digits (0.07 % at 1e7 elements on a CPU); these short
 * ones are added up in float64 afterwards.
 */
const longestFloat32Sum = 4096;

/**
 * Squares of a gradient, summed in short rows on its own back end.
 * @param gradient - any shape [gradient]
 * @returns shape [rows] [gradient²]; its float64 sum is the squared norm
 */
export function rowsOfSquares(gradient: tf.Tensor): tf.Tensor1D {
  return tf.tidy(() => {
    const columns = columnsOfRows(gradient.size);
    const rows = Math.ceil(gradient.size / columns);
    // Not a matrix product with itself: the wasm back end keeps one packed operator per tensor, whatever its shape.
    const squares = tf.reshape(tf.square(gradient), [gradient.size]);
    const missing = rows * columns - gradient.size;
    const even = missing === 0 ? squares : tf.pad(squares, [[0, missing]]);
    return tf.sum<tf.Tensor1D>(tf.reshape(even, [rows, columns]), 1);
  });
}

/** The largest divisor that makes rows short enough, so that large tensors need no padded copy. */
function columnsOfRows(size: number): number {
  if (size <= longestFloat32Sum) return Math.max(1, size);
  for (let columns = longestFloat32Sum; columns >= 64; columns--) if (size % columns === 0) return columns;
  return longestFloat32Sum;
}

/** Sum in float64 of `values[from]` to `values[to − 1]`. */
export function sumOf(values: ArrayLike<number>, from: number, to: number): number {
  let total = 0;
  for (let index = from; index < to; index++) total += values[index] ?? Number.NaN;
  return total;
}
