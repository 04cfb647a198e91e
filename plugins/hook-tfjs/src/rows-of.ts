import * as tf from "@tensorflow/tfjs-core";
import type { MicroBatch } from "./micro-batches.ts";

/** A batch: a tensor, or arrays and objects of them, each with the examples along axis 0. */
export type Batch = tf.Tensor | readonly Batch[] | { readonly [name: string]: Batch };

/** Rows of the batch; all its tensors must have as many. */
export function rowsOf(batch: Batch): number {
  const counts = new Set(tensorsIn(batch).map((tensor) => tensor.shape[0] ?? 0));
  const [count] = counts;
  if (count === undefined || counts.size > 1) {
    throw new RangeError(`batch: every tensor must have the examples along axis 0, got ${[...counts].join(", ")} rows`);
  }
  return count;
}

/** The batch cut along axis 0, each tensor once with one kernel. */
export function splitRows<Whole extends Batch>(batch: Whole, parts: readonly MicroBatch[]): Whole[] {
  const sizes = parts.map((part) => part.size);
  const cut = new Map(tensorsIn(batch).map((tensor) => [tensor, tf.split(tensor, sizes, 0)]));
  return parts.map((_, index) => replaceTensors(batch, (tensor) => cut.get(tensor)?.[index] ?? tensor) as Whole);
}

/** The same batch, to be held beyond the step; its tensors share their values, and are the caller's to dispose of. */
export function keptCopy<Whole extends Batch>(batch: Whole): Whole {
  return replaceTensors(batch, (tensor) => tf.keep(tf.clone(tensor))) as Whole;
}

export function tensorsIn(batch: Batch): tf.Tensor[] {
  return batch instanceof tf.Tensor ? [batch] : Object.values(batch).flatMap((inner: Batch) => tensorsIn(inner));
}

function replaceTensors(batch: Batch, replace: (tensor: tf.Tensor) => tf.Tensor): Batch {
  if (batch instanceof tf.Tensor) return replace(batch);
  if (Array.isArray(batch)) return batch.map((inner: Batch) => replaceTensors(inner, replace));
  return Object.fromEntries(Object.entries(batch).map(([name, inner]) => [name, replaceTensors(inner, replace)]));
}
