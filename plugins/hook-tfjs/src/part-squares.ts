import * as tf from "@tensorflow/tfjs-core";
import type { MicroBatch } from "./micro-batches.ts";
import { rowsOfSquares } from "./squared-norms.ts";

/** Rows that sum to Σ_k |gradient of part k|² [gradient²]. */
interface LayerSquares {
  readonly kernel: tf.Tensor1D;
  readonly bias: tf.Tensor1D;
}

/** Parts of one size, one after the other along axis 0. */
interface EqualParts {
  readonly input: tf.Tensor;
  readonly atOutput: tf.Tensor;
  readonly count: number;
  readonly size: number;
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
  return joined(
    equalParts(input, atOutput, parts).map(({ input: x, atOutput: d, count, size }) => {
      const inputs = x.shape[1] ?? 0;
      const outputs = d.shape[1] ?? 0;
      const x3 = tf.reshape(x, [count, size, inputs]);
      const d3 = tf.reshape(d, [count, size, outputs]);
      // Products of rows are fewer than the elements of the gradients, unless the part is large for the layer.
      const byRows = size * (inputs + outputs) < 2 * inputs * outputs;
      const kernel = byRows
        ? tf.sum(tf.mul(tf.matMul(x3, x3, false, true), tf.matMul(d3, d3, false, true)), 2)
        : rowsOfSquares(tf.matMul(x3, d3, true, false));
      return { kernel: tf.reshape<tf.Rank.R1>(kernel, [kernel.size]), bias: rowsOfSquares(tf.sum(d3, 1)) };
    }),
  );
}

/**
 * A convolution's squares: each part's filter gradient is made by the back end's own kernel, from the part's rows.
 * @param input - shape [rows, height, width, channels]
 * @param atOutput - shape [rows, height, width, filters]
 */
export function convolutionPartSquares(
  input: tf.Tensor,
  atOutput: tf.Tensor,
  parts: readonly MicroBatch[],
  convolution: { readonly strides: [number, number]; readonly pad: "same" | "valid"; readonly filterShape: number[] },
): LayerSquares {
  const sizes = parts.map((part) => part.size);
  const gradients = tf.split(atOutput, sizes, 0);
  const attributes = { ...convolution, dataFormat: "NHWC" };
  return joined(
    tf.split(input, sizes, 0).map((x, part) => {
      const dy = gradients[part] as tf.Tensor;
      const filter: tf.Tensor = tf.engine().runKernel("Conv2DBackpropFilter", { x, dy }, attributes);
      return { kernel: rowsOfSquares(filter), bias: rowsOfSquares(tf.sum(dy, [0, 1, 2])) };
    }),
  );
}

/** `microBatches` puts the larger parts first, so there are at most two sizes: two batched products do for all parts. */
function equalParts(input: tf.Tensor, atOutput: tf.Tensor, parts: readonly MicroBatch[]): EqualParts[] {
  const groups = [...Map.groupBy(parts, (part) => part.size)];
  if (groups.length === 1) return groups.map(([size, { length }]) => ({ input, atOutput, count: length, size }));
  const rows = groups.map(([size, { length }]) => size * length);
  const inputs = tf.split(input, rows, 0);
  const gradients = tf.split(atOutput, rows, 0);
  return groups.map(([size, { length }], index) => ({
    input: inputs[index] as tf.Tensor,
    atOutput: gradients[index] as tf.Tensor,
    count: length,
    size,
  }));
}

function joined(squares: readonly LayerSquares[]): LayerSquares {
  const [only] = squares;
  if (only !== undefined && squares.length === 1) return only;
  return {
    kernel: tf.concat1d(squares.map((square) => square.kernel)),
    bias: tf.concat1d(squares.map((square) => square.bias)),
  };
}
