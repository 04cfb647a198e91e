import * as tf from "@tensorflow/tfjs-core";
import type { MicroBatch } from "./micro-batches.ts";
import type { TrainableModel } from "./model-internals.ts";
import { convolutionPartSquares, densePartSquares } from "./part-squares.ts";

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
  readonly inboundNodes: readonly { readonly inputShapes: readonly (readonly (number | null)[])[] }[];
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

interface Seen {
  readonly input: tf.Tensor;
  atOutput?: tf.Tensor;
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
      const call = (inputs: tf.Tensor | tf.Tensor[]) => watchedCall(layer, inputs, seen);
      Object.defineProperty(layer, "call", { value: call, configurable: true, writable: true });
    }
    try {
      return run(() => this.#layers.flatMap((layer) => squaresOf(layer, seen.get(layer), parts)));
    } finally {
      for (const layer of this.#layers) Reflect.deleteProperty(layer, "call");
      for (const { input, atOutput } of seen.values()) tf.dispose(atOutput === undefined ? [input] : [input, atOutput]);
    }
  }
}

/** What the layer computes, from the same operations, with an identity before the activation that sees its gradient. */
function watchedCall(layer: TappableLayer, inputs: tf.Tensor | tf.Tensor[], seen: Map<TappableLayer, Seen>): tf.Tensor {
  return tf.tidy(() => {
    const input = Array.isArray(inputs) ? (inputs[0] as tf.Tensor) : inputs;
    const sight: Seen = { input: tf.keep(tf.clone(input)) };
    tf.dispose(seen.get(layer)?.input ?? []);
    seen.set(layer, sight);
    const linear = linearOutput(layer, input);
    const biased = layer.bias === null ? linear : tf.add(linear, layer.bias.read());
    const watched = tf.customGrad((output) => ({
      value: tf.clone(output as tf.Tensor),
      gradFunc: (gradient: tf.Tensor) => {
        sight.atOutput = tf.keep(tf.clone(gradient));
        return gradient;
      },
    }))(biased);
    return layer.activation === null ? watched : layer.activation.apply(watched);
  });
}

function linearOutput(layer: TappableLayer, input: tf.Tensor): tf.Tensor {
  const kernel = layer.kernel.read();
  if (layer.getClassName() === "Dense") return tf.matMul(input, kernel);
  const { strides, pad } = convolutionOf(layer);
  return tf.conv2d(input as tf.Tensor4D, kernel as tf.Tensor4D, strides, pad);
}

function squaresOf(layer: TappableLayer, seen: Seen | undefined, parts: readonly MicroBatch[]): TappedSquares {
  if (seen?.atOutput === undefined) throw new Error(`Layer ${layer.name} took no part in the step.`);
  const kernel = layer.kernel.read() as tf.Variable;
  const rows =
    layer.getClassName() === "Dense"
      ? densePartSquares(seen.input as tf.Tensor2D, seen.atOutput as tf.Tensor2D, parts)
      : convolutionPartSquares(seen.input, seen.atOutput, parts, {
          ...convolutionOf(layer),
          filterShape: kernel.shape,
        });
  const squares = [{ variable: kernel.name, rows: rows.kernel }];
  if (layer.bias === null) tf.dispose(rows.bias);
  else squares.push({ variable: (layer.bias.read() as tf.Variable).name, rows: rows.bias });
  return squares;
}

function convolutionOf(layer: TappableLayer): { strides: [number, number]; pad: "same" | "valid" } {
  const [height = 1, width = 1] = layer.strides ?? [];
  return { strides: [height, width], pad: layer.padding === "same" ? "same" : "valid" };
}
