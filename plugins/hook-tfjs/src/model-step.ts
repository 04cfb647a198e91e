import * as tf from "@tensorflow/tfjs-core";
import { fingerprintOf, type HeldBatch } from "./hessian.ts";
import { type LayerTaps, type TappedSquares, tappableLayers } from "./layer-taps.ts";
import type { MicroBatch } from "./micro-batches.ts";
import {
  couplesExamples,
  isPlainOptimizer,
  isStochastic,
  type LossOrMetric,
  layersByVariable,
  learningRateOf,
  type TrainableModel,
  type TrainFunction,
} from "./model-internals.ts";
import type { PartResult, Slot, SquareRows } from "./part-gradients.ts";
import { keptCopy, splitRows } from "./rows-of.ts";
import { rowsOfSquares } from "./squared-norms.ts";
import type { TappedStep, TrainingStep } from "./step-meter.ts";

/** Takes the steps of `model.fit`, `fitDataset` and `trainOnBatch` apart. */
export class ModelStep {
  readonly #model: TrainableModel;
  readonly #perLayer: boolean;
  #facts:
    | {
        readonly identity: unknown;
        readonly coupled: boolean;
        readonly stochastic: boolean;
        readonly taps: LayerTaps | undefined;
      }
    | undefined;
  /** Losses or metrics that gave something else than one value an example: their mean over parts is not the batch's. */
  readonly #notPerExample = new WeakSet<LossOrMetric>();

  constructor(model: TrainableModel, perLayer: boolean) {
    this.#model = model;
    this.#perLayer = perLayer;
  }

  of(train: TrainFunction, data: (tf.Tensor | null)[]): TrainingStep {
    const model = this.#model;
    const optimizer = model.optimizer_;
    const variables: tf.Variable[] = [];
    // `compile` makes a new list of losses, so the list stands for what was compiled.
    const identity = model.lossFunctions;
    if (this.#facts?.identity !== identity) {
      const coupled = couplesExamples(model);
      const taps = coupled ? undefined : tappableLayers(model);
      this.#facts = { identity, coupled, stochastic: isStochastic(model), taps };
    }
    const { coupled, stochastic, taps } = this.#facts;
    const layers = this.#perLayer ? layersByVariable(model) : undefined;
    return {
      identity,
      coupled,
      stochastic,
      examples: data[0]?.shape[0] ?? 0,
      learningRate: learningRateOf(optimizer),
      layerOf: layers && ((variable) => layers.get(variable) ?? variable),
      mayApplyParts: () =>
        this.#isMeanByPlainOptimizer(optimizer) &&
        !model.metricsTensors.some(([metric]) => this.#notPerExample.has(metric)),
      plain: () => train(data),
      tapped:
        taps &&
        ((parts) => (this.#isMeanByPlainOptimizer(optimizer) ? this.#tapped(train, data, parts, taps) : undefined)),
      split: (parts) => this.#split(train, data, parts, variables),
      hold: () => this.#hold(train, data, variables),
      fingerprint: () => fingerprintOf(presentIn(data)),
      optimizer,
      apply: (gradients) => {
        optimizer.applyGradients(variables.map(({ name }) => ({ name, tensor: gradients[name] as tf.Tensor })));
      },
    };
  }

  #isMeanByPlainOptimizer(optimizer: tf.Optimizer): boolean {
    return isPlainOptimizer(optimizer) && !this.#model.lossFunctions.some((loss) => this.#notPerExample.has(loss));
  }

  /** One pass over the whole batch, with the optimizer's usual update; the layers are watched meanwhile. */
  #tapped(
    train: TrainFunction,
    data: (tf.Tensor | null)[],
    parts: readonly MicroBatch[],
    taps: LayerTaps,
  ): TappedStep | undefined {
    const model = this.#model;
    const optimizer = model.optimizer_;
    let updating = false;
    let squares: SquareRows | undefined;
    try {
      const outputs = taps.during(parts, (small) => {
        model.optimizer_ = Object.create(optimizer, {
          minimize: {
            value: (loss: () => tf.Scalar, _returnCost: boolean, variables: tf.Variable[]) => {
              const { value, grads } = tf.variableGrads(loss, variables);
              squares = squaresOrNothing(small, grads);
              updating = true;
              optimizer.applyGradients(variables.map(({ name }) => ({ name, tensor: grads[name] as tf.Tensor })));
              tf.dispose(grads);
              return value;
            },
          },
        });
        return train(data);
      });
      return { outputs, squares };
    } catch (error) {
      // What fails in the update would have failed without the hook; before it, the step can still be taken otherwise.
      if (updating) throw error;
      return undefined;
    } finally {
      model.optimizer_ = optimizer;
    }
  }

  #split(
    train: TrainFunction,
    data: (tf.Tensor | null)[],
    parts: readonly MicroBatch[],
    variables: tf.Variable[],
  ): (part: number) => PartResult {
    const present = presentIn(data);
    const examples = present[0]?.shape[0] ?? 0;
    const cut = splitRows(present, parts);
    return (part) => {
      const remaining = [...(cut[part] ?? [])];
      const size = parts[part]?.size ?? 0;
      const partData = data.map((tensor) =>
        tensor === null || tensor === undefined ? tensor : (remaining.shift() ?? tensor),
      );
      return this.#withoutUpdate(train, partData, size, size / examples, variables);
    };
  }

  #hold(train: TrainFunction, data: (tf.Tensor | null)[], variables: tf.Variable[]): HeldBatch {
    const kept = data.map((tensor) => (tensor === null || tensor === undefined ? tensor : keptCopy(tensor)));
    const size = kept[0]?.shape[0] ?? 0;
    return {
      gradient: () => {
        const { gradients, outputs } = this.#withoutUpdate(train, kept, size, 1, variables);
        return { gradients, loss: outputs[0] as tf.Scalar };
      },
      fingerprint: () => fingerprintOf(presentIn(kept)),
      dispose: () => tf.dispose(presentIn(kept)),
    };
  }

  /** Runs the model's own train function with an optimizer that only hands over the gradient. */
  #withoutUpdate(
    train: TrainFunction,
    data: (tf.Tensor | null)[],
    size: number,
    share: number,
    variables: tf.Variable[],
  ): PartResult {
    const model = this.#model;
    const { optimizer_, lossFunctions, metricsTensors } = model;
    let gradients: tf.NamedTensorMap = {};
    model.optimizer_ = Object.create(optimizer_, {
      minimize: {
        value: (loss: () => tf.Scalar, _returnCost: boolean, variableList: tf.Variable[]) => {
          variables.splice(0, variables.length, ...variableList);
          const result = tf.variableGrads(() => tf.mul<tf.Scalar>(loss(), share), variableList);
          gradients = result.grads;
          return result.value;
        },
      },
    });
    const watched = new Map<LossOrMetric, LossOrMetric>();
    const watch = (measure: LossOrMetric) => {
      const wrapped = watched.get(measure) ?? this.#shapeWatch(measure, size);
      watched.set(measure, wrapped);
      return wrapped;
    };
    model.lossFunctions = lossFunctions.map(watch);
    model.metricsTensors = metricsTensors.map(([metric, output]) => [watch(metric), output]);
    const statistics = this.#facts?.coupled === true ? model.nonTrainableWeights : [];
    const before = statistics.map((weight) => tf.clone(weight.read()));
    try {
      const outputs = train(data);
      // The train function keeps its metrics from any tidy; here they are intermediate values.
      return { gradients, outputs: outputs.map((output) => unkept(output)) };
    } finally {
      model.optimizer_ = optimizer_;
      model.lossFunctions = lossFunctions;
      model.metricsTensors = metricsTensors;
      for (const [index, value] of before.entries()) statistics[index]?.write(value);
    }
  }

  #shapeWatch(measure: LossOrMetric, size: number): LossOrMetric {
    return (truth, prediction) => {
      const value = measure(truth, prediction);
      if (value.rank === 0 || value.shape[0] !== size) this.#notPerExample.add(measure);
      return value;
    };
  }
}

function presentIn(data: readonly (tf.Tensor | null)[]): tf.Tensor[] {
  return data.filter((tensor) => tensor !== null && tensor !== undefined);
}

function unkept(output: tf.Scalar): tf.Scalar {
  if (!output.kept) return output;
  const copy = tf.clone(output);
  output.dispose();
  return copy;
}

function squaresOrNothing(small: () => TappedSquares, gradients: tf.NamedTensorMap): SquareRows | undefined {
  try {
    const slots: Slot[] = [];
    const rows = tf.tidy(() => {
      const all = [
        ...small().map((square) => ({ ...square, kind: "small" as const })),
        ...Object.entries(gradients).map(([variable, gradient]) => ({
          variable,
          kind: "big" as const,
          rows: rowsOfSquares(gradient),
        })),
      ];
      slots.push(...all.map(({ variable, kind, rows: squares }) => ({ variable, kind, rows: squares.size })));
      return all.map((square) => square.rows);
    });
    return { rows, slots };
  } catch {
    return undefined;
  }
}
