import * as tf from "@tensorflow/tfjs-core";
import type { MicroBatch } from "./micro-batches.ts";
import { rowsOfSquares, sumOf } from "./squared-norms.ts";

/** What one part of a batch gave. */
export interface PartResult {
  /** Gradient by variable name, already times the part's share n_k/B of the batch. */
  readonly gradients: tf.NamedTensorMap;
  /** The part's loss times its share, then its metrics as they are. */
  readonly outputs: readonly tf.Scalar[];
}

/** Squared norms of the parts and of their sum, by variable name [gradient²]. */
export interface PartSquares {
  /** Sum over the parts of |n_k/B·h_k|². */
  readonly small: ReadonlyMap<string, number>;
  /** |Σ n_k/B·h_k|². */
  readonly big: ReadonlyMap<string, number>;
  /** The scalars that were packed along, in their order. */
  readonly scalars: readonly number[];
}

export interface SummedParts {
  /** Σ n_k/B·h_k by variable name: the gradient of the batch. */
  readonly gradients: tf.NamedTensorMap;
  /** Loss of the batch and its metrics, each as the mean over the batch. */
  readonly outputs: tf.Scalar[];
  /** Rows of squares, in the order of `slots`. */
  readonly rows: tf.Tensor1D[];
  readonly slots: readonly Slot[];
}

/** What `pack` takes to the host: rows of squares, and which square they belong to. */
export interface SquareRows {
  readonly rows: readonly tf.Tensor1D[];
  readonly slots: readonly Slot[];
}

/** Which square the next `rows` values belong to. */
export interface Slot {
  readonly variable: string;
  readonly kind: "small" | "big";
  readonly rows: number;
}

/**
 * Runs the parts of a batch one after the other; sums their gradients, and squares both the parts' and the sum's.
 * The tensors that it returns belong to the caller; whatever else `begin` and its runs make is disposed of.
 * @param begin - prepares the parts, and returns what runs one of them
 */
export function sumParts(parts: readonly MicroBatch[], begin: () => (part: number) => PartResult): SummedParts {
  const slots: Slot[] = [];
  return { ...tf.tidy(() => sumInScope(parts, begin(), slots)), slots };
}

function sumInScope(
  parts: readonly MicroBatch[],
  resultOf: (part: number) => PartResult,
  slots: Slot[],
): Pick<SummedParts, "gradients" | "outputs" | "rows"> {
  const examples = parts.reduce((total, part) => total + part.size, 0);
  const gradients: tf.NamedTensorMap = {};
  const rows: tf.Tensor1D[] = [];
  const square = (kind: Slot["kind"], variable: string, gradient: tf.Tensor) => {
    const squares = rowsOfSquares(gradient);
    rows.push(squares);
    slots.push({ variable, kind, rows: squares.size });
  };
  let outputs: tf.Scalar[] = [];
  parts.forEach((part, index) => {
    const result = resultOf(index);
    for (const [variable, gradient] of Object.entries(result.gradients)) {
      if (gradient == null) continue;
      square("small", variable, gradient);
      const before = gradients[variable];
      gradients[variable] = before === undefined ? gradient : tf.add(before, gradient);
      // Freed at once: only two copies of the weights live at a time, whatever K is.
      if (before !== undefined) tf.dispose([before, gradient]);
    }
    outputs = result.outputs.map((output, place) => {
      const share = place === 0 ? output : tf.mul<tf.Scalar>(output, part.size / examples);
      const before = outputs[place];
      return before === undefined ? share : tf.add<tf.Scalar>(before, share);
    });
  });
  for (const [variable, gradient] of Object.entries(gradients)) square("big", variable, gradient);
  return { gradients, outputs, rows };
}

/** All rows and scalars in one tensor, so that one asynchronous read brings everything back. */
export function pack(rows: readonly tf.Tensor1D[], scalars: readonly tf.Scalar[]): tf.Tensor1D {
  return tf.tidy(() => tf.concat1d([...rows, ...scalars.map((scalar) => tf.reshape<tf.Rank.R1>(scalar, [1]))]));
}

/** Reads what `pack` packed. */
export function unpack(values: ArrayLike<number>, slots: readonly Slot[]): PartSquares {
  const sums = { small: new Map<string, number>(), big: new Map<string, number>() };
  let at = 0;
  for (const { variable, kind, rows } of slots) {
    const total = sums[kind].get(variable) ?? 0;
    sums[kind].set(variable, total + sumOf(values, at, at + rows));
    at += rows;
  }
  return { ...sums, scalars: Array.from(values).slice(at) };
}
