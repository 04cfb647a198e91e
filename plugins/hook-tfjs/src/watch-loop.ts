import * as tf from "@tensorflow/tfjs-core";
import { fingerprintOf } from "./hessian.ts";
import { isPlainOptimizer, learningRateOf } from "./model-internals.ts";
import { type Batch, keptCopy, rowsOf, splitRows, tensorsIn } from "./rows-of.ts";
import type { TrainingStep } from "./step-meter.ts";
import type { WatchOptions } from "./watch-options.ts";
import { type Watcher, WatcherCore } from "./watcher.ts";

/** A watched training loop of one's own. */
export interface LoopWatcher extends Watcher {
  /**
   * One step: what `optimizer.minimize(() => loss(batch), true, variables)` does.
   * @param loss - mean loss over the examples of the batch that it is given [scalar]
   * @param batch - a tensor, or arrays or objects of tensors, with the examples along axis 0
   * @param variables - what is trained; every trainable variable by default
   * @returns the loss of the batch before the update; dispose of it
   */
  minimize<Given extends Batch>(
    optimizer: tf.Optimizer,
    loss: (batch: Given) => tf.Scalar,
    batch: Given,
    variables?: tf.Variable[],
  ): tf.Scalar;
}

/**
 * Measures the gradient noise of a training loop of one's own: call the watcher's `minimize` in place of the optimizer's.
 * @throws RangeError where an option is wrong
 */
export function watchLoop(options: WatchOptions): LoopWatcher {
  let detached = false;
  const watcher = new WatcherCore(options, options.declaration?.optimizer, () => {
    detached = true;
  });
  const minimize = <Given extends Batch>(
    optimizer: tf.Optimizer,
    loss: (batch: Given) => tf.Scalar,
    batch: Given,
    variables?: tf.Variable[],
  ): tf.Scalar => {
    const plain = () => optimizer.minimize(() => loss(batch), true, variables) as tf.Scalar;
    if (detached) return plain();
    const [cost] = watcher.meter.take(loopStep(plain, optimizer, loss, batch, variables));
    return cost ?? plain();
  };
  return Object.assign(watcher, { minimize });
}

function loopStep<Given extends Batch>(
  plain: () => tf.Scalar,
  optimizer: tf.Optimizer,
  loss: (batch: Given) => tf.Scalar,
  batch: Given,
  variables: tf.Variable[] | undefined,
): TrainingStep {
  const examples = rowsOf(batch);
  return {
    examples,
    plain: () => [plain()],
    split: (parts) => {
      const cut = splitRows(batch, parts);
      return (index) => {
        const share = (parts[index]?.size ?? 0) / examples;
        const part = cut[index] ?? batch;
        const { value, grads } = tf.variableGrads(() => tf.mul<tf.Scalar>(loss(part), share), variables);
        return { gradients: grads, outputs: [value] };
      };
    },
    hold: () => {
      const copy = keptCopy(batch);
      return {
        gradient: () => {
          const { value, grads } = tf.variableGrads(() => loss(copy), variables);
          return { gradients: grads, loss: value };
        },
        fingerprint: () => fingerprintOf(tensorsIn(copy)),
        dispose: () => tf.dispose(tensorsIn(copy)),
      };
    },
    fingerprint: () => fingerprintOf(tensorsIn(batch)),
    optimizer,
    apply: (gradients) => optimizer.applyGradients(gradients),
    mayApplyParts: () => isPlainOptimizer(optimizer),
    // A loop may make a new closure every step, so the loss stands for nothing; the optimizer does.
    identity: optimizer,
    // Whether a loss of one's own draws noise cannot be seen from here; a sum is told from a mean all the same.
    stochastic: true,
    coupled: false,
    learningRate: learningRateOf(optimizer),
    layerOf: undefined,
    tapped: undefined,
  };
}
