import * as tf from "@tensorflow/tfjs-core";
import type { LayersModel } from "@tensorflow/tfjs-layers";

/**
 * What the hook uses of a LayersModel that its type does not show. `fit`, `fitDataset` and `trainOnBatch` all call
 * `makeTrainFunction` and hand each batch to what it returned: inputs, targets, then sample weights (or null).
 */
export interface TrainableModel {
  readonly name: string;
  layers: readonly ModelLayer[];
  nonTrainableWeights: readonly LayerWeight[];
  optimizer_: tf.Optimizer;
  lossFunctions: LossOrMetric[];
  metricsTensors: [LossOrMetric, number][];
  makeTrainFunction(): TrainFunction;
}

export type TrainFunction = (data: (tf.Tensor | null)[]) => tf.Scalar[];
export type LossOrMetric = (truth: tf.Tensor, prediction: tf.Tensor) => tf.Tensor;

interface LayerWeight {
  read(): tf.Tensor;
  write(value: tf.Tensor): unknown;
}

interface ModelLayer {
  readonly name: string;
  readonly trainableWeights: readonly LayerWeight[];
  readonly layers?: readonly ModelLayer[];
  getClassName(): string;
  getConfig(): Record<string, unknown>;
}

/** A Sequential trains through the LayersModel that its `build` makes anew, so that `build` has to be watched too. */
interface SequentialShell {
  model: LayersModel | null;
  build(inputShape?: unknown): void;
}

export function trainable(model: LayersModel): TrainableModel {
  return model as unknown as TrainableModel;
}

export function asSequential(model: LayersModel): SequentialShell | undefined {
  return model.getClassName() === "Sequential" ? (model as unknown as SequentialShell) : undefined;
}

/** All layers, those of nested models with the model's name before theirs. */
export function leafLayers(layers: readonly ModelLayer[], prefix = ""): { name: string; layer: ModelLayer }[] {
  return layers.flatMap((layer) =>
    layer.layers === undefined
      ? [{ name: prefix + layer.name, layer }]
      : leafLayers(layer.layers, `${prefix}${layer.name}/`),
  );
}

/** Batch normalisation lets the examples of a batch see each other. */
export function couplesExamples(model: TrainableModel): boolean {
  return leafLayers(model.layers).some(({ layer }) => layer.getClassName() === "BatchNormalization");
}

/** Dropout and noise layers draw anew at every pass. */
export function isStochastic(model: TrainableModel): boolean {
  return leafLayers(model.layers).some(({ layer }) => {
    const config = layer.getConfig();
    return (
      /Dropout|Noise|Random/.test(layer.getClassName()) ||
      [config["dropout"], config["recurrentDropout"]].some((rate) => typeof rate === "number" && rate > 0)
    );
  });
}

/** Name of the layer of each trainable variable. */
export function layersByVariable(model: TrainableModel): ReadonlyMap<string, string> {
  const names = new Map<string, string>();
  for (const { name, layer } of leafLayers(model.layers)) {
    for (const weight of layer.trainableWeights) {
      const variable = weight.read();
      if (variable instanceof tf.Variable) names.set(variable.name, name);
    }
  }
  return names;
}

/** An optimizer that overrides these does more than its gradient's step, for example clipping: it is left to do it. */
export function isPlainOptimizer(optimizer: tf.Optimizer): boolean {
  return (
    optimizer.minimize === tf.Optimizer.prototype.minimize &&
    optimizer.computeGradients === tf.Optimizer.prototype.computeGradients
  );
}

/** The optimizers of tfjs keep their rate in a protected field; undefined where there is none. */
export function learningRateOf(optimizer: tf.Optimizer): number | undefined {
  const rate: unknown = Reflect.get(optimizer, "learningRate");
  return typeof rate === "number" && Number.isFinite(rate) && rate >= 0 ? rate : undefined;
}
