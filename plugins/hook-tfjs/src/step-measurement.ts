import type { MeasurementInput } from "@noisescale/protocol";
import { curvatureOf } from "./hessian.ts";
import type { MicroBatch } from "./micro-batches.ts";
import { firstHalf, type PartSquares } from "./part-gradients.ts";

/** Small and big of one step in the form that goes on the wire. */
export type SmallAndBig = Pick<MeasurementInput, "small" | "big">;

/**
 * Squared norms and batch sizes of parts that may differ in size. With shares w_k = n_k/B, A = Σ|w_k·h_k|², Bg = |Σ w_k·h_k|²,
 * W = Σ w_k = 1, q = Σ w_k² and c = Σ w_k²/n_k = 1/B:
 *
 *   small = {squared norm A/q, batch size q/c},   big = {squared norm Bg/W², batch size W²/c = B}
 *
 * for which E = |G|² + tr Σ/b holds exactly, so the estimators of McCandlish et al. 2018, arXiv:1812.06162, appendix A.1
 * stay unbiased. Equal parts give b = B/K.
 * @param squares - of gradients already times their share [gradient²]
 * @returns squared norms [gradient²], batch sizes [examples]
 */
export function smallAndBig(parts: readonly MicroBatch[], squares: Pick<PartSquares, "small" | "big">): SmallAndBig {
  const examples = parts.reduce((total, part) => total + part.size, 0);
  const sumOfSquaredShares = squaredShares(parts);
  return {
    small: {
      squared_norm: total(squares.small) / sumOfSquaredShares,
      batch_size: sumOfSquaredShares * examples,
      count: parts.length,
    },
    big: { squared_norm: total(squares.big), batch_size: examples },
  };
}

/**
 * gᵀPg of the parts in the optimizer's metric, in the same form.
 * @returns nothing where the optimizer had no second moments yet, or a value is not finite
 */
export function preconditionedForm(
  parts: readonly MicroBatch[],
  { preconditionedSmall, preconditionedBig }: Pick<PartSquares, "preconditionedSmall" | "preconditionedBig">,
): Pick<MeasurementInput, "preconditioned"> {
  if (preconditionedBig.size === 0) return {};
  const { small, big } = smallAndBig(parts, { small: preconditionedSmall, big: preconditionedBig });
  if (!Number.isFinite(small.squared_norm) || !Number.isFinite(big.squared_norm)) return {};
  return {
    preconditioned: {
      small: { batch_size: small.batch_size, value: small.squared_norm },
      big: { batch_size: big.batch_size, value: big.squared_norm },
    },
  };
}

/**
 * gᵀHg of the batch's halves, in the same form with K = 2: with u the sum of both halves' gradients (each times its share)
 * and w their difference, Σ|·|² over the halves is (uᵀHu + wᵀHw)/2. Two products are enough; w, in which G cancels, has less
 * noise than a sum of the parts with random signs.
 * @returns nothing where the curvature was not measured, or is not finite
 */
export function hessianForm(
  parts: readonly MicroBatch[],
  { curvature, move }: Pick<PartSquares, "curvature" | "move">,
): Pick<MeasurementInput, "hessian"> {
  const along = (name: string) => curvatureOf(curvature.get(name) ?? Number.NaN, move.get(name) ?? Number.NaN);
  const [sum, difference] = [along("sum"), along("difference")];
  if (!Number.isFinite(sum) || !Number.isFinite(difference)) return {};
  const examples = parts.reduce((total, part) => total + part.size, 0);
  const first = parts.slice(0, firstHalf(parts)).reduce((total, part) => total + part.size, 0);
  const sumOfSquaredShares = (first / examples) ** 2 + (1 - first / examples) ** 2;
  return {
    hessian: {
      small: { batch_size: sumOfSquaredShares * examples, value: (sum + difference) / 2 / sumOfSquaredShares },
      big: { batch_size: examples, value: sum },
    },
  };
}

/**
 * The same squares layer by layer.
 * @param layerOf - name of the layer that a variable belongs to
 * @returns small and big squared norm by layer [gradient²]
 */
export function layerSquares(
  parts: readonly MicroBatch[],
  squares: Pick<PartSquares, "small" | "big">,
  layerOf: (variable: string) => string,
): Record<string, [number, number]> {
  const sumOfSquaredShares = squaredShares(parts);
  const layers = new Map<string, [number, number]>();
  for (const [variable, big] of squares.big) {
    const [smallBefore, bigBefore] = layers.get(layerOf(variable)) ?? [0, 0];
    const small = (squares.small.get(variable) ?? Number.NaN) / sumOfSquaredShares;
    layers.set(layerOf(variable), [smallBefore + small, bigBefore + big]);
  }
  return Object.fromEntries(layers);
}

function squaredShares(parts: readonly MicroBatch[]): number {
  const examples = parts.reduce((sum, part) => sum + part.size, 0);
  return parts.reduce((sum, part) => sum + (part.size / examples) ** 2, 0);
}

function total(squares: ReadonlyMap<string, number>): number {
  let sum = 0;
  for (const square of squares.values()) sum += square;
  return sum;
}
