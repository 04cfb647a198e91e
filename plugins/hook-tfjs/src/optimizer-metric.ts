import * as tf from "@tensorflow/tfjs-core";

/** A slot variable of an optimizer of tfjs: `originalName` is the trained variable's name with a suffix. */
interface SlotVariable {
  readonly originalName: string;
  readonly variable: tf.Variable;
}

/** What the optimizers of tfjs keep in protected fields. */
interface Slots {
  readonly epsilon: number;
  readonly beta2: number;
  /** β₂ to the power of the next step's number. */
  readonly accBeta2: tf.Variable;
  readonly accumulatedSecondMoment: readonly SlotVariable[];
  readonly accumulatedWeightedInfNorm: readonly SlotVariable[];
  readonly centered: boolean;
  readonly accumulatedMeanSquares: readonly SlotVariable[];
  readonly accumulatedMeanGrads: readonly SlotVariable[];
  readonly accumulatedGrads: readonly SlotVariable[];
}

/** Whether the optimizer divides each gradient by a running size of its own. */
export function hasMetric(optimizer: tf.Optimizer): boolean {
  return optimizer.getClassName() in inverseMetrics;
}

/**
 * √P by variable name, P = 1/(√v̂ + ε) the diagonal by which the optimizer multiplies a gradient (up to the rate): from its
 * second moments as the steps before have left them. After a step v̂ holds that step's own squares, and what it divides
 * would look smaller where it happens to be large.
 *
 * @returns undefined before the first step, when there is no v̂
 */
export function rootMetric(optimizer: tf.Optimizer): tf.NamedTensorMap | undefined {
  const inverse = inverseMetrics[optimizer.getClassName()]?.(optimizer as unknown as Slots);
  if (inverse === undefined || inverse.length === 0) return undefined;
  return Object.fromEntries(inverse.map(([name, size]) => [name, tf.rsqrt(size)]));
}

/** 1/P by variable name: what each optimizer of tfjs divides by in `applyGradients`. */
const inverseMetrics: Readonly<Record<string, (slots: Slots) => (readonly [string, tf.Tensor])[]>> = {
  Adam: ({ accumulatedSecondMoment, accBeta2, beta2, epsilon }) => {
    const correction = tf.sub(1, tf.div(accBeta2, beta2));
    return byName(accumulatedSecondMoment, (v) => tf.add(tf.sqrt(tf.div(v, correction)), epsilon));
  },
  Adamax: ({ accumulatedWeightedInfNorm, epsilon }) => byName(accumulatedWeightedInfNorm, (u) => tf.add(u, epsilon)),
  RMSProp: ({ accumulatedMeanSquares, accumulatedMeanGrads, centered, epsilon }) =>
    byName(accumulatedMeanSquares, (square, index) => {
      const mean = centered ? accumulatedMeanGrads[index]?.variable : undefined;
      // Centred, tfjs takes ε off in place of adding it.
      return tf.sqrt(mean === undefined ? tf.add(square, epsilon) : tf.sub(square, tf.add(tf.square(mean), epsilon)));
    }),
  Adagrad: ({ accumulatedGrads }) =>
    byName(accumulatedGrads, (sum) => tf.sqrt(tf.add(sum, tf.engine().backend.epsilon()))),
};

function byName(
  slots: readonly SlotVariable[],
  size: (slot: tf.Variable, index: number) => tf.Tensor,
): (readonly [string, tf.Tensor])[] {
  return slots.map(({ originalName, variable }, index) => [
    originalName.replace(/\/[^/]*$/, ""),
    size(variable, index),
  ]);
}
