import * as tf from "@tensorflow/tfjs-core";
import * as layers from "@tensorflow/tfjs-layers";

/** Weights from fixed seeds, so that two models start equal. */
function seeded(seed: number) {
  return layers.initializers.glorotUniform({ seed });
}

/** Two dense layers with an l2 penalty; compiled with SGD, which shows a wrong gradient scale at once. */
export function denseModel(compile: Partial<layers.ModelCompileArgs> = {}, l2 = 0.01): layers.Sequential {
  const model = layers.sequential({
    layers: [
      layers.layers.dense({
        units: 16,
        activation: "tanh",
        inputShape: [12],
        kernelInitializer: seeded(1),
        ...(l2 === 0 ? {} : { kernelRegularizer: layers.regularizers.l2({ l2 }) }),
      }),
      layers.layers.dense({ units: 4, activation: "softmax", kernelInitializer: seeded(2) }),
    ],
  });
  model.compile({ optimizer: tf.train.sgd(0.2), loss: "categoricalCrossentropy", metrics: ["accuracy"], ...compile });
  return model;
}

/** Without a penalty, which lets the hook read the squares off one pass over the whole batch. */
export function unpenalisedModel(compile: Partial<layers.ModelCompileArgs> = {}): layers.Sequential {
  return denseModel(compile, 0);
}

export function convolutionModel(compile: Partial<layers.ModelCompileArgs> = {}): layers.Sequential {
  const model = layers.sequential({
    layers: [
      layers.layers.conv2d({
        filters: 3,
        kernelSize: 3,
        strides: 2,
        padding: "same",
        activation: "relu",
        inputShape: [6, 6, 2],
        kernelInitializer: seeded(3),
      }),
      layers.layers.conv2d({ filters: 4, kernelSize: 2, useBias: false, kernelInitializer: seeded(5) }),
      layers.layers.maxPooling2d({ poolSize: 2, strides: 1 }),
      layers.layers.flatten(),
      layers.layers.dense({ units: 4, activation: "softmax", kernelInitializer: seeded(4) }),
    ],
  });
  model.compile({ optimizer: tf.train.sgd(0.1), loss: "categoricalCrossentropy", ...compile });
  return model;
}

/** Seeded inputs and one-hot targets. */
export function examples(count: number, shape: number[] = [12]): { x: tf.Tensor; y: tf.Tensor } {
  const x = tf.randomNormal([count, ...shape], 0, 1, "float32", 11);
  const y = tf.oneHot(tf.randomUniform([count], 0, 4, "int32", 12), 4);
  return { x, y: tf.cast(y, "float32") };
}

export async function weightsOf(model: layers.LayersModel): Promise<number[]> {
  const values = await Promise.all(model.getWeights().map((weight) => weight.data()));
  return values.flatMap((value) => [...value]);
}

export function largestDifference(left: readonly number[], right: readonly number[]): number {
  return left.reduce((largest, value, index) => Math.max(largest, Math.abs(value - (right[index] ?? Number.NaN))), 0);
}

/** |Σ w·g|² of gradients as plain numbers, in float64: the brute force that the hook is compared with. */
export async function squaredNormOf(gradients: tf.NamedTensorMap): Promise<number> {
  const values = await Promise.all(Object.values(gradients).map((gradient) => gradient.data()));
  return values.flatMap((value) => [...value]).reduce((sum, value) => sum + value * value, 0);
}
