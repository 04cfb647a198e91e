import { train } from "@tensorflow/tfjs-core";
import { initializers, layers, type Sequential, sequential } from "@tensorflow/tfjs-layers";
import { classes, pictureSide } from "./digits.ts";

/** 784-128-10 perceptron, compiled for plain SGD; the same weights for the same seed. */
export function buildNetwork(learningRate: number, seed: number): Sequential {
  const network = sequential({
    layers: [
      layers.dense({
        name: "hidden",
        inputShape: [pictureSide * pictureSide],
        units: 128,
        activation: "relu",
        kernelInitializer: initializers.heNormal({ seed }),
      }),
      layers.dense({
        name: "digits",
        units: classes,
        activation: "softmax",
        kernelInitializer: initializers.glorotNormal({ seed: seed + 1 }),
      }),
    ],
  });
  network.compile({ optimizer: train.sgd(learningRate), loss: "categoricalCrossentropy", metrics: ["accuracy"] });
  return network;
}
