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

/** What a row of squares is part of; the values of one kind and variable are added up. */
export type SquareKind =
  /** Σ_k |n_k/B·h_k|² and |Σ n_k/B·h_k|². */
  | "small"
  | "big"
  /** The same in the optimizer's metric. */
  | "preconditionedSmall"
  | "preconditionedBig"
  /** Of a direction in place of a variable: see `curvatureRows`. */
  | "curvature"
  | "move"
  /** What tells whether the curvature can be used. */
  | "check";

/** Squared norms of the parts and of their sum, by variable name [gradient²]. */
export interface PartSquares extends Readonly<Record<SquareKind, ReadonlyMap<string, number>>> {
  /** The scalars that were packed along, in their order. */
  readonly scalars: readonly number[];
}

/** What else is wanted of the parts. */
export interface WantedForms {
  /** Makes √P by variable name; undefined where there is none yet. */
  readonly rootMetric: () => tf.NamedTensorMap | undefined;
  /** The difference of the batch's halves. */
  readonly halves: boolean;
}

export interface SummedParts {
  /** Σ n_k/B·h_k by variable name: the gradient of the batch. */
  readonly gradients: tf.NamedTensorMap;
  /** The first half of the parts' sum less the other's, by variable name; only where it was wanted. */
  readonly difference: tf.NamedTensorMap;
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
  readonly kind: SquareKind;
  readonly rows: number;
}

/** Parts of the first half; the larger ones come first. */
export function firstHalf(parts: readonly MicroBatch[]): number {
  return Math.ceil(parts.length / 2);
}

/**
 * Runs the parts of a batch one after the other; sums their gradients, and squares both the parts' and the sum's.
 * The tensors that it returns belong to the caller; whatever else `begin` and its runs make is disposed of.
 * @param begin - prepares the parts, and returns what runs one of them
 */
export function sumParts(
  parts: readonly MicroBatch[],
  begin: () => (part: number) => PartResult,
  wanted: WantedForms,
): SummedParts {
  const slots: Slot[] = [];
  return { ...tf.tidy(() => sumInScope(parts, begin(), wanted, slots)), slots };
}

function sumInScope(
  parts: readonly MicroBatch[],
  resultOf: (part: number) => PartResult,
  wanted: WantedForms,
  slots: Slot[],
): Omit<SummedParts, "slots"> {
  const rootMetric = wanted.rootMetric();
  const examples = parts.reduce((total, part) => total + part.size, 0);
  const gradients: tf.NamedTensorMap = {};
  const difference: tf.NamedTensorMap = {};
  const rows: tf.Tensor1D[] = [];
  const addRows = (kind: SquareKind, variable: string, squares: tf.Tensor1D) => {
    rows.push(squares);
    slots.push({ variable, kind, rows: squares.size });
  };
  const square = (size: "small" | "big", variable: string, gradient: tf.Tensor) => {
    addRows(size, variable, rowsOfSquares(gradient));
    const root = rootMetric?.[variable];
    if (root === undefined) return;
    const kind = size === "small" ? "preconditionedSmall" : "preconditionedBig";
    addRows(
      kind,
      variable,
      tf.tidy(() => rowsOfSquares(tf.mul(gradient, root))),
    );
  };
  let outputs: tf.Scalar[] = [];
  parts.forEach((part, index) => {
    const result = resultOf(index);
    for (const [variable, gradient] of Object.entries(result.gradients)) {
      if (gradient == null) continue;
      square("small", variable, gradient);
      if (wanted.halves)
        accumulate(difference, variable, index < firstHalf(parts) ? tf.clone(gradient) : tf.neg(gradient));
      accumulate(gradients, variable, gradient);
    }
    outputs = result.outputs.map((output, place) => {
      const share = place === 0 ? output : tf.mul<tf.Scalar>(output, part.size / examples);
      const before = outputs[place];
      return before === undefined ? share : tf.add<tf.Scalar>(before, share);
    });
  });
  for (const [variable, gradient] of Object.entries(gradients)) square("big", variable, gradient);
  return { gradients, difference, outputs, rows };
}

/** Frees what it added at once: only two copies of the weights live at a time, whatever K is. */
function accumulate(sums: tf.NamedTensorMap, variable: string, gradient: tf.Tensor): void {
  const before = sums[variable];
  sums[variable] = before === undefined ? gradient : tf.add(before, gradient);
  if (before !== undefined) tf.dispose([before, gradient]);
}

/** All rows and scalars in one tensor, so that one asynchronous read brings everything back. */
export function pack(rows: readonly tf.Tensor1D[], scalars: readonly tf.Scalar[]): tf.Tensor1D {
  return tf.tidy(() => tf.concat1d([...rows, ...scalars.map((scalar) => tf.reshape<tf.Rank.R1>(scalar, [1]))]));
}

/** Reads what `pack` packed. */
export function unpack(values: ArrayLike<number>, slots: readonly Slot[]): PartSquares {
  const sums: Record<SquareKind, Map<string, number>> = {
    small: new Map(),
    big: new Map(),
    preconditionedSmall: new Map(),
    preconditionedBig: new Map(),
    curvature: new Map(),
    move: new Map(),
    check: new Map(),
  };
  let at = 0;
  for (const { variable, kind, rows } of slots) {
    const total = sums[kind].get(variable) ?? 0;
    sums[kind].set(variable, total + sumOf(values, at, at + rows));
    at += rows;
  }
  return { ...sums, scalars: Array.from(values).slice(at) };
}
