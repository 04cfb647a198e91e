import * as tf from "@tensorflow/tfjs-core";
import type { MicroBatch } from "./micro-batches.ts";
import type { TrainableModel } from "./model-internals.ts";
import { convolutionPartSquares, densePartSquares, type LayerSquares } from "./part-squares.ts";

interface Weight {
  read(): tf.Tensor;
}

/** What the taps use of a Dense or Conv2D layer. */
interface TappableLayer {
  readonly name: string;
  readonly kernel: Weight;
  readonly bias: Weight | null;
  readonly activation: { apply(tensor: tf.Tensor): tf.Tensor } | null;
  readonly trainableWeights: readonly Weight[];
  readonly inboundNodes: readonly {
    readonly inputShapes: readonly (readonly (number | null)[])[];
    readonly inboundLayers: readonly { getClassName(): string }[];
  }[];
  readonly strides?: readonly number[];
  readonly padding?: string;
  readonly dataFormat?: string;
  readonly dilationRate?: readonly number[];
  readonly _callHook?: unknown;
  call(inputs: tf.Tensor | tf.Tensor[], options: unknown): tf.Tensor;
  getClassName(): string;
  getConfig(): Record<string, unknown>;
}

/** Sum of the squares of the parts' gradients, by variable name, in rows [gradient²]. */
export type TappedSquares = { readonly variable: string; readonly rows: tf.Tensor1D }[];

/**
 * The layers whose weights' gradients can be taken apart from what one pass over the whole batch leaves: with inputs x_i
 * and gradients d_i at the outputs before the activation, part k's gradient is Σ_i∈k x_i·d_iᵀ.
 * @returns undefined if the model has a trainable weight outside such a layer, a layer with a penalty (its gradient does
 *   not come from d), or a layer that is used twice
 */
export function tappableLayers(model: TrainableModel): LayerTaps | undefined {
  const layers = model.layers as unknown as readonly TappableLayer[];
  const trained = layers.filter((layer) => layer.trainableWeights.length > 0);
  return trained.length > 0 && trained.every(isTappable) ? new LayerTaps(trained) : undefined;
}

function isTappable(layer: TappableLayer): boolean {
  const config = layer.getConfig();
  const penalties = ["kernelRegularizer", "biasRegularizer", "activityRegularizer"];
  const [node, ...more] = layer.inboundNodes;
  const inputRank = node?.inputShapes[0]?.length;
  const plainWeights = layer.trainableWeights.length === (layer.bias === null ? 1 : 2);
  if (penalties.some((name) => config[name] != null) || more.length > 0 || layer._callHook != null) return false;
  if (!plainWeights) return false;
  if (layer.getClassName() === "Dense") return inputRank === 2;
  return (
    layer.getClassName() === "Conv2D" &&
    layer.dataFormat !== "channelsFirst" &&
    (layer.padding === "same" || layer.padding === "valid") &&
    (layer.dilationRate ?? []).every((rate) => rate === 1)
  );
}

/** Rows of squares of one layer's parts; kept until the step is over. */
interface Seen {
  squares?: LayerSquares;
}

/** Sees the inputs and output gradients of layers while a training step runs as it always does. */
export class LayerTaps {
  readonly #layers: readonly TappableLayer[];

  constructor(layers: readonly TappableLayer[]) {
    this.#layers = layers;
  }

  /**
   * Runs a step with the layers watched.
   * @param run - gets what returns the squares once the backward pass is over; the tensors then belong to the caller
   */
  during<Result>(parts: readonly MicroBatch[], run: (squares: () => TappedSquares) => Result): Result {
    const seen = new Map<TappableLayer, Seen>();
    for (const layer of this.#layers) {
      const sight: Seen = {};
      seen.set(layer, sight);
      const call = (inputs: tf.Tensor | tf.Tensor[]) => watchedCall(layer, inputs, parts, sight);
      Object.defineProperty(layer, "call", { value: call, configurable: true, writable: true });
    }
    try {
      return run(() => this.#layers.flatMap((layer) => named(layer, seen.get(layer)?.squares)));
    } finally {
      for (const layer of this.#layers) Reflect.deleteProperty(layer, "call");
      for (const { squares } of seen.values()) if (squares !== undefined) tf.dispose([squares.kernel, squares.bias]);
    }
  }
}

/** What the layer computes, from the same operations; the gradient of what comes before the activation is seen. */
function watchedCall(
  layer: TappableLayer,
  inputs: tf.Tensor | tf.Tensor[],
  parts: readonly MicroBatch[],
  seen: Seen,
): tf.Tensor {
  return tf.tidy(() => {
    const input = Array.isArray(inputs) ? (inputs[0] as tf.Tensor) : inputs;
    const linear =
      layer.getClassName() === "Dense"
        ? watchedProduct(layer, input as tf.Tensor2D, parts, seen)
        : watchedConvolution(layer, input as tf.Tensor4D, parts, seen);
    return layer.activation === null ? linear : layer.activation.apply(linear);
  });
}

function watchedProduct(layer: TappableLayer, input: tf.Tensor2D, parts: readonly MicroBatch[], seen: Seen): tf.Tensor {
  const product = tf.matMul(input, layer.kernel.read());
  const biased = layer.bias === null ? product : tf.add(product, layer.bias.read());
  // An identity: its gradient function is where the layer's rows and their gradients meet.
  return tf.customGrad((output, save) => {
    (save as tf.GradSaveFunc)([input]);
    return {
      value: tf.clone(output as tf.Tensor),
      gradFunc: (gradient: tf.Tensor, [rows]: tf.Tensor[]) => {
        seen.squares = keepSquares(() => densePartSquares(rows as tf.Tensor2D, gradient as tf.Tensor2D, parts));
        return gradient;
      },
    };
  })(biased);
}

/** The filter's gradient is the sum of the parts', so that it is not computed a second time. */
function watchedConvolution(
  layer: TappableLayer,
  input: tf.Tensor4D,
  parts: readonly MicroBatch[],
  seen: Seen,
): tf.Tensor {
  const kernel = layer.kernel.read() as tf.Tensor4D;
  const [height = 1, width = 1] = layer.strides ?? [];
  const strides: [number, number] = [height, width];
  const pad = layer.padding === "same" ? "same" : "valid";
  const filterGradient = (gradient: tf.Tensor, rows: tf.Tensor): tf.Tensor => {
    const convolution = { strides, pad, filterShape: kernel.shape } as const;
    const { filter, ...squares } = convolutionPartSquares(rows, gradient, parts, convolution);
    seen.squares = keepSquares(() => squares);
    return filter;
  };
  const convolved = readsData(layer)
    ? tf.customGrad((filter, save) => {
        (save as tf.GradSaveFunc)([input]);
        return {
          value: tf.conv2d(input, filter as tf.Tensor4D, strides, pad),
          gradFunc: (gradient: tf.Tensor, [rows]: tf.Tensor[]) => filterGradient(gradient, rows as tf.Tensor),
        };
      })(kernel)
    : tf.customGrad((given, filter, save) => {
        (save as tf.GradSaveFunc)([given as tf.Tensor, filter as tf.Tensor]);
        return {
          value: tf.conv2d(given as tf.Tensor4D, filter as tf.Tensor4D, strides, pad),
          gradFunc: (gradient: tf.Tensor, [rows, weights]: tf.Tensor[]) => [
            inputGradient(gradient, rows as tf.Tensor, weights as tf.Tensor, { strides, pad }),
            filterGradient(gradient, rows as tf.Tensor),
          ],
        };
      })(input, kernel);
  return layer.bias === null ? convolved : tf.add(convolved, layer.bias.read());
}

function inputGradient(
  gradient: tf.Tensor,
  rows: tf.Tensor,
  filter: tf.Tensor,
  convolution: { readonly strides: [number, number]; readonly pad: "same" | "valid" },
): tf.Tensor {
  const attributes = { ...convolution, dataFormat: "NHWC", inputShape: rows.shape };
  return tf.engine().runKernel("Conv2DBackpropInput", { dy: gradient, filter }, attributes) as tf.Tensor;
}

/** Nothing before the first layer is trained, so the gradient of its input would be computed for nobody. */
function readsData(layer: TappableLayer): boolean {
  return layer.inboundNodes[0]?.inboundLayers[0]?.getClassName() === "InputLayer";
}

function keepSquares(squares: () => LayerSquares): LayerSquares {
  const { kernel, bias } = squares();
  return { kernel: tf.keep(kernel), bias: tf.keep(bias) };
}

/** Copies, since the kept rows are disposed of with the step. */
function named(layer: TappableLayer, squares: LayerSquares | undefined): TappedSquares {
  if (squares === undefined) throw new Error(`Layer ${layer.name} took no part in the step.`);
  const rows = [{ variable: (layer.kernel.read() as tf.Variable).name, rows: tf.clone(squares.kernel) }];
  if (layer.bias !== null) {
    rows.push({ variable: (layer.bias.read() as tf.Variable).name, rows: tf.clone(squares.bias) });
  }
  return rows;
}
