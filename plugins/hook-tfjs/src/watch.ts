import type { RunDeclarationInput } from "@noisescale/protocol";
import type * as tf from "@tensorflow/tfjs-core";
import type { LayersModel } from "@tensorflow/tfjs-layers";
import { asSequential, trainable } from "./model-internals.ts";
import { ModelStep } from "./model-step.ts";
import type { WatchOptions } from "./watch-options.ts";
import { type Watcher, WatcherCore } from "./watcher.ts";

/** A second watcher would see the first one's parts as batches. */
const watched = new WeakSet<object>();

/**
 * Measures the gradient noise of `model.fit`, `fitDataset` and `trainOnBatch`: a step in `every` runs its batch as `parts`
 * micro-batches, and applies their mean gradient once. Training goes on as without it, whatever fails here.
 * @throws RangeError where an option is wrong or the model is watched already
 */
export function watch(model: LayersModel, options: WatchOptions): Watcher {
  if (watched.has(model)) {
    throw new RangeError(`watch: model ${model.name} is watched already; call detach() on its watcher first`);
  }
  const restore: (() => void)[] = [];
  const watcher = new WatcherCore(options, optimizerKind(model.optimizer), () => {
    for (const undo of restore.splice(0).reverse()) undo();
    watched.delete(model);
  });
  const sequential = asSequential(model);
  if (sequential === undefined) {
    restore.push(attach(model, watcher, options));
  } else {
    const attachInner = () => {
      if (sequential.model !== null) restore.push(attach(sequential.model, watcher, options));
    };
    attachInner();
    const build = sequential.build;
    restore.push(
      shadow(sequential, "build", (inputShape: unknown) => {
        build.call(sequential, inputShape);
        if (watched.has(model)) attachInner();
      }),
    );
  }
  watched.add(model);
  return watcher;
}

function attach(model: LayersModel, watcher: WatcherCore, options: WatchOptions): () => void {
  const target = trainable(model);
  const step = new ModelStep(target, options.layers ?? false);
  let attached = true;
  const make = target.makeTrainFunction;
  const undo = shadow(target, "makeTrainFunction", () => {
    const train = make.call(target);
    return (data: (tf.Tensor | null)[]) => (attached ? watcher.meter.take(step.of(train, data)) : train(data));
  });
  return () => {
    attached = false;
    undo();
  };
}

/** Shadows a method on one instance, and returns what takes the shadow away. */
function shadow<Instance extends object>(
  instance: Instance,
  key: keyof Instance & string,
  method: (...given: never[]) => unknown,
): () => void {
  const own = Object.getOwnPropertyDescriptor(instance, key);
  Object.defineProperty(instance, key, { value: method, configurable: true, writable: true });
  return () => {
    if (own === undefined) Reflect.deleteProperty(instance, key);
    else Object.defineProperty(instance, key, own);
  };
}

/** How the learning rate follows the batch size depends on the kind; unknown kinds are left out. */
export function optimizerKind(optimizer: tf.Optimizer | undefined | null): RunDeclarationInput["optimizer"] {
  switch (optimizer?.getClassName()) {
    case undefined:
      return undefined;
    case "SGD":
    case "Momentum":
      return "sgd";
    case "Adam":
      return "adam";
    default:
      return "other";
  }
}
