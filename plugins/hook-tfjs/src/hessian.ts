import * as tf from "@tensorflow/tfjs-core";
import type { SquareRows } from "./part-gradients.ts";
import { rowsOfProducts } from "./squared-norms.ts";

/** A batch that was kept from an earlier step, so that H comes from examples that the measured gradients do not share. */
export interface HeldBatch {
  /** Gradient of the batch's mean loss at the weights as they are, and that loss; nothing is updated. */
  gradient(): { readonly gradients: tf.NamedTensorMap; readonly loss: tf.Scalar };
  /** See `fingerprintOf`. */
  fingerprint(): tf.Tensor1D;
  dispose(): void;
}

/**
 * How far the weights are moved, relative to their norm. Measured on networks with tanh, ReLU and convolutions, in float32:
 * at ten times as much the loss's third and fourth derivatives show (.1 to 2 %), at a tenth of it rounding does.
 */
const relativeMove = 1e-3;

/**
 * vᵀHv of the held batch's loss by central differences of its gradient g, which any layer and back end has; second
 * derivatives lack kernels (those of a convolution's filter, of clipping):
 *
 *   vᵀHv ≈ vᵀ(g(θ + ε·v) − g(θ − ε·v)) / 2ε
 *
 * The weights are afterwards the same bits as before.
 *
 * @param direction - v by variable name
 * @param name - of the direction, in the slots
 * @returns rows of kind `curvature` that sum to vᵀ(g₊ − g₋), and one of kind `move` that holds ε
 */
export function curvatureRows(direction: tf.NamedTensorMap, held: HeldBatch, name: string): SquareRows {
  const weights = trainedWeights(direction);
  const slots: SquareRows["slots"][number][] = [];
  const rows = tf.tidy(() => {
    const move = moveAlong(weights);
    const before = weights.map(({ weight }) => tf.clone(weight));
    const gradientAt = (sign: 1 | -1): tf.NamedTensorMap => {
      weights.forEach(({ weight, along }, index) => {
        weight.assign(tf.add(before[index] as tf.Tensor, tf.mul(along, tf.mul(sign, move))));
      });
      return held.gradient().gradients;
    };
    try {
      const ahead = gradientAt(1);
      const behind = gradientAt(-1);
      const products = weights.flatMap(({ weight, along }) => {
        const [plus, minus] = [ahead[weight.name], behind[weight.name]];
        if (plus == null || minus == null) return [];
        return [{ variable: name, rows: rowsOfProducts(along, tf.sub(plus, minus)) }];
      });
      slots.push(
        ...products.map((product) => ({ variable: name, kind: "curvature" as const, rows: product.rows.size })),
      );
      slots.push({ variable: name, kind: "move", rows: 1 });
      return [...products.map((product) => product.rows), tf.reshape<tf.Rank.R1>(move, [1])];
    } finally {
      for (const [index, { weight }] of weights.entries()) weight.assign(before[index] as tf.Tensor);
    }
  });
  return { rows, slots };
}

/** vᵀHv from the sums of what `curvatureRows` gave. */
export function curvatureOf(product: number, move: number): number {
  return product / (2 * move);
}

interface TrainedWeight {
  readonly weight: tf.Variable;
  /** v. */
  readonly along: tf.Tensor;
}

function trainedWeights(direction: tf.NamedTensorMap): TrainedWeight[] {
  const variables = tf.engine().registeredVariables;
  return Object.entries(direction).map(([name, along]) => {
    const weight = variables[name];
    if (weight === undefined) throw new Error(`no variable ${name}`);
    return { weight, along };
  });
}

/** ε for a move of `relativeMove` times the norm of the weights, each variable's counting by its share of |v|². */
function moveAlong(weights: readonly TrainedWeight[]): tf.Scalar {
  const squares = weights.map(({ weight, along }) => ({
    weight: tf.sum<tf.Scalar>(tf.square(weight)),
    along: tf.sum<tf.Scalar>(tf.square(along)),
  }));
  const along = tf.addN(squares.map((square) => square.along));
  const size = tf.div(tf.addN(squares.map((square) => tf.mul(square.weight, square.along))), along);
  // Weights that are all zero have no size: 1 then.
  const known = tf.add(size, tf.cast(tf.equal(size, 0), "float32"));
  return tf.mul<tf.Scalar>(relativeMove, tf.sqrt(tf.div(known, along)));
}

/**
 * Rows of kind `check`: how far the held batch is from the measured one, and its loss twice at the same weights. A batch
 * that was measured itself, or a loss that draws anew each time, gives no Hessian to measure with.
 */
export function checkRows(held: HeldBatch, measured: tf.Tensor1D, twice: boolean): SquareRows {
  const values = tf.tidy(() => {
    const other = held.fingerprint();
    const away = tf.max(
      tf.div(tf.abs(tf.sub(measured, other)), tf.add(tf.add(measured, other), tf.backend().epsilon())),
    );
    const losses = twice ? [held.gradient().loss, held.gradient().loss] : [];
    return [away, ...losses].map((value) => tf.reshape<tf.Rank.R1>(value, [1]));
  });
  const variables = twice ? ["away", "once", "again"] : ["away"];
  return { rows: values, slots: variables.map((variable) => ({ variable, kind: "check", rows: 1 })) };
}

/** Both in relative terms; float32 sums of the same values in another order differ by less. */
const sameWithin = 1e-5;

/** Why the Hessian of this step cannot be used; undefined where it can. */
export function unusable(
  check: ReadonlyMap<string, number>,
): "hessian-same-batch" | "hessian-not-repeatable" | undefined {
  const [once, again] = [check.get("once"), check.get("again")];
  if (once !== undefined && again !== undefined && !(Math.abs(once - again) <= sameWithin * Math.abs(once))) {
    return "hessian-not-repeatable";
  }
  return (check.get("away") ?? 0) > sameWithin ? undefined : "hessian-same-batch";
}

/**
 * A number for each tensor of a batch that does not depend on the order of the rows: Σ c_j·x_ij² with c_j from 1 to 2 over
 * the elements j of a row.
 * @returns shape [tensors]
 */
export function fingerprintOf(tensors: readonly tf.Tensor[]): tf.Tensor1D {
  return tf.tidy(() =>
    tf.stack(
      tensors.map((tensor) => {
        const elements = tensor.size / Math.max(tensor.shape[0] ?? 1, 1);
        const rows = tf.reshape(tf.cast(tensor, "float32"), [-1, elements]);
        return tf.sum(tf.mul(tf.square(rows), tf.linspace(1, 2, elements)));
      }),
    ),
  ) as tf.Tensor1D;
}
