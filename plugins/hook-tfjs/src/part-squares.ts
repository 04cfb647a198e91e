import * as tf from "@tensorflow/tfjs-core";
import type { MicroBatch } from "./micro-batches.ts";
import { rowsOfSquares } from "./squared-norms.ts";

/** Rows that sum to Σ_k |gradient of part k|² [gradient²]. */
export interface LayerSquares {
  readonly kernel: tf.Tensor1D;
  readonly bias: tf.Tensor1D;
}

/**
 * A dense layer's squares from its inputs X and the gradients D at its outputs:
 *
 *   |X_kᵀ·D_k|² = Σ_i,j∈k (x_i·x_j)(d_i·d_j)
 *
 * which needs no gradient of the kernel's size. (Goodfellow 2015, arXiv:1510.01799, for one example; summed over a part.)
 * @param input - shape [rows, inputs]
 * @param atOutput - shape [rows, outputs]
 */
export function densePartSquares(
  input: tf.Tensor2D,
  atOutput: tf.Tensor2D,
  parts: readonly MicroBatch[],
): LayerSquares {
  const inputs = equalParts(input, parts);
  const gradients = equalParts(atOutput, parts);
  return {
    kernel: joined(inputs.map((x, group) => productSquares(x, gradients[group] as tf.Tensor3D))),
    bias: joined(gradients.map((d) => rowsOfSquares(tf.sum(d, 1)))),
  };
}

/** Shapes [parts, rows, inputs] and [parts, rows, outputs]. */
function productSquares(x: tf.Tensor3D, d: tf.Tensor3D): tf.Tensor1D {
  const [, rows, inputs] = x.shape;
  const outputs = d.shape[2];
  // Products of rows are fewer than the elements of the gradients, unless the part is large for the layer.
  const byRows = rows * (inputs + outputs) < 2 * inputs * outputs;
  if (!byRows) return rowsOfSquares(tf.matMul(x, d, true, false));
  const products = tf.mul(tf.matMul(x, x, false, true), tf.matMul(d, d, false, true));
  // In float32 up to 64 rows a part; longer sums row by row.
  return rows <= 64 ? tf.sum<tf.Tensor1D>(products, [1, 2]) : tf.reshape<tf.Rank.R1>(tf.sum(products, 2), [-1]);
}

/**
 * A convolution's squares: each part's filter gradient is made by the back end's own kernel, from the part's rows.
 * @param input - shape [rows, height, width, channels]
 * @param atOutput - shape [rows, height, width, filters]
 * @returns the squares, and the filter's gradient over all parts, shape `filterShape`
 */
export function convolutionPartSquares(
  input: tf.Tensor,
  atOutput: tf.Tensor,
  parts: readonly MicroBatch[],
  convolution: { readonly strides: [number, number]; readonly pad: "same" | "valid"; readonly filterShape: number[] },
): LayerSquares & { readonly filter: tf.Tensor } {
  const sizes = parts.map((part) => part.size);
  const gradients = tf.split(atOutput, sizes, 0);
  const attributes = { ...convolution, dataFormat: "NHWC" };
  const filters = tf.split(input, sizes, 0).map((x, part) => {
    const dy = gradients[part] as tf.Tensor;
    return tf.engine().runKernel("Conv2DBackpropFilter", { x, dy }, attributes) as tf.Tensor;
  });
  const biases = equalParts(tf.sum(atOutput, [1, 2]) as tf.Tensor2D, parts);
  return {
    filter: tf.addN(filters),
    kernel: rowsOfSquares(tf.concat(filters, 0)),
    bias: joined(biases.map((d) => rowsOfSquares(tf.sum(d, 1)))),
  };
}

/**
 * Parts of one size together, as shape [parts, rows, columns]. `microBatches` puts the larger ones first, so there are at
 * most two sizes, and two batched products do for all parts.
 */
function equalParts(rows: tf.Tensor2D, parts: readonly MicroBatch[]): tf.Tensor3D[] {
  const groups = [...Map.groupBy(parts, (part) => part.size)].map(([size, { length }]) => ({ size, count: length }));
  const cut =
    groups.length === 1
      ? [rows]
      : tf.split(
          rows,
          groups.map(({ size, count }) => size * count),
          0,
        );
  return groups.map(({ size, count }, group) =>
    tf.reshape<tf.Rank.R3>(cut[group] as tf.Tensor2D, [count, size, rows.shape[1]]),
  );
}

function joined(rows: readonly tf.Tensor1D[]): tf.Tensor1D {
  const [only] = rows;
  return only !== undefined && rows.length === 1 ? only : tf.concat1d([...rows]);
}
