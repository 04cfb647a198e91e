import * as tf from "@tensorflow/tfjs-core";

/**
 * Elements that one float32 sum may take. Longer float32 sums lose digits (0.07 % at 1e7 elements on a CPU); these short
 * ones are added up in float64 afterwards.
 */
const longestFloat32Sum = 4096;

/**
 * Squares of a gradient, summed in short rows on its own back end, with as few kernels as its shape allows.
 * @param gradient - any shape [gradient]
 * @returns shape [rows] [gradient²]; its float64 sum is the squared norm
 */
export function rowsOfSquares(gradient: tf.Tensor): tf.Tensor1D {
  return tf.tidy(() => {
    // Not a matrix product with itself: the wasm back end keeps one packed operator per tensor, whatever its shape.
    return summedInRows(tf.square(gradient));
  });
}

/** The same of the elements' products: their float64 sum is the inner product of two tensors of one shape. */
export function rowsOfProducts(left: tf.Tensor, right: tf.Tensor): tf.Tensor1D {
  return tf.tidy(() => summedInRows(tf.mul(left, right)));
}

function summedInRows(squares: tf.Tensor): tf.Tensor1D {
  const [length = 0, width = 0] = squares.shape;
  if (squares.rank === 1 && length <= longestFloat32Sum) return squares as tf.Tensor1D;
  if (squares.rank === 2 && width <= longestFloat32Sum) return tf.sum<tf.Tensor1D>(squares, 1);
  const columns = columnsOfRows(squares.size);
  const rows = Math.ceil(squares.size / columns);
  const missing = rows * columns - squares.size;
  const even = missing === 0 ? squares : tf.pad(tf.reshape(squares, [squares.size]), [[0, missing]]);
  return tf.sum<tf.Tensor1D>(tf.reshape(even, [rows, columns]), 1);
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
