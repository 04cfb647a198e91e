import "@tensorflow/tfjs-backend-cpu";
import "@tensorflow/tfjs-backend-wasm";
import * as tf from "@tensorflow/tfjs-core";
import * as layers from "@tensorflow/tfjs-layers";
import { beforeAll, describe, expect, it } from "vitest";
import { registerWasmTrainingKernels } from "../src/index.ts";
import { largestDifference } from "./training-cases.ts";

type Inputs = Record<
  string,
  { readonly shape: number[]; readonly values: ArrayLike<number>; readonly dtype?: "int32" }
>;

beforeAll(() => {
  registerWasmTrainingKernels();
});

/** Runs one kernel on one back end, and says what it left behind. */
async function run(backend: string, kernel: string, inputs: Inputs, attributes: object) {
  await tf.setBackend(backend);
  const tensors = Object.fromEntries(
    Object.entries(inputs).map(([name, { shape, values, dtype }]) => [
      name,
      tf.tensor(values as Float32Array, shape, dtype ?? "float32"),
    ]),
  );
  const before = { tensors: tf.memory().numTensors, data: tf.memory().numDataBuffers };
  const output: tf.Tensor = tf.engine().runKernel(kernel, tensors, attributes as tf.NamedAttrMap);
  const values = [...(await output.data())];
  const { shape } = output;
  output.dispose();
  const left = { tensors: tf.memory().numTensors - before.tensors, data: tf.memory().numDataBuffers - before.data };
  tf.dispose(tensors);
  return { values, shape, left };
}

/** Seeded normal values, the same for each back end. */
async function normal(size: number, seed: number): Promise<Float32Array> {
  await tf.setBackend("cpu");
  return tf.tidy(() => tf.randomNormal([size], 0, 1, "float32", seed).dataSync()) as Float32Array;
}

const product = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

describe("the kernels that wasm training lacks", () => {
  it.each<
    [x: number[], filter: [number, number, number, number], strides: number | [number, number], pad: "valid" | "same"]
  >([
    [[2, 7, 6, 3], [3, 2, 3, 4], 1, "valid"],
    [[2, 7, 6, 3], [3, 2, 3, 4], 2, "valid"],
    [[3, 8, 9, 2], [3, 3, 2, 5], 2, "same"],
    [[1, 5, 5, 1], [1, 1, 1, 2], 1, "same"],
    [[2, 9, 8, 2], [3, 3, 2, 3], 3, "valid"],
    [[2, 8, 8, 2], [5, 3, 2, 3], 1, "same"],
    [[2, 9, 9, 2], [2, 2, 2, 2], 4, "valid"],
    [[2, 9, 7, 2], [2, 3, 2, 2], [3, 2], "same"],
  ])(
    "give the filter gradient of the cpu back end: x %j, filter %j, strides %j, %s",
    async (x, filterShape, strides, pad) => {
      const dyShape = tf.backend_util.computeConv2DInfo(
        x as [number, number, number, number],
        filterShape,
        strides,
        1,
        pad,
      ).outShape;
      const inputs = {
        x: { shape: x, values: await normal(product(x), 1) },
        dy: { shape: dyShape, values: await normal(product(dyShape), 2) },
      };
      const attributes = { strides, pad, dataFormat: "NHWC", filterShape };
      const expected = await run("cpu", "Conv2DBackpropFilter", inputs, attributes);
      const actual = await run("wasm", "Conv2DBackpropFilter", inputs, attributes);
      expect(actual.shape).toEqual(filterShape);
      expect(actual.left).toEqual({ tensors: 0, data: 0 });
      // At most 3·8·9 = 216 products of size ~1 are summed in float32: 216·6e-8 ≈ 1.3e-5.
      expect(largestDifference(actual.values, expected.values)).toBeLessThan(1.3e-5);
    },
  );

  it("say that channels must come last", async () => {
    const inputs = {
      x: { shape: [1, 1, 2, 2], values: [1, 2, 3, 4] },
      dy: { shape: [1, 1, 2, 2], values: [1, 2, 3, 4] },
    };
    const attributes = { strides: 1, pad: "same", dataFormat: "NCHW", filterShape: [1, 1, 1, 1] };
    await expect(run("wasm", "Conv2DBackpropFilter", inputs, attributes)).rejects.toThrow(/use channelsLast/);
  });

  it("sum segments as the cpu back end does, and leave out ids outside the range", async () => {
    const inputs = {
      x: { shape: [6, 3], values: await normal(18, 3) },
      segmentIds: { shape: [6], values: Int32Array.of(2, 0, 2, -1, 4, 9), dtype: "int32" as const },
    };
    const expected = await run("cpu", "UnsortedSegmentSum", inputs, { numSegments: 5 });
    const actual = await run("wasm", "UnsortedSegmentSum", inputs, { numSegments: 5 });
    expect(actual.shape).toEqual([5, 3]);
    expect(actual.left).toEqual({ tensors: 0, data: 0 });
    expect(largestDifference(actual.values, expected.values)).toBeLessThan(1e-6);
  });

  it("are enough to train an embedding", async () => {
    await tf.setBackend("wasm");
    const model = layers.sequential({
      layers: [
        layers.layers.embedding({ inputDim: 7, outputDim: 3, inputLength: 4 }),
        layers.layers.flatten(),
        layers.layers.dense({ units: 1 }),
      ],
    });
    model.compile({ optimizer: tf.train.sgd(0.1), loss: "meanSquaredError" });
    const x = tf.randomUniform([32, 4], 0, 7, "int32", 4);
    const history = await model.fit(x, tf.ones([32, 1]), { epochs: 5, verbose: 0 });
    const losses = (history.history["loss"] ?? []).map(Number);
    expect(losses.at(-1)).toBeLessThan(losses[0] ?? 0);
  });

  it("are added once", () => {
    expect(registerWasmTrainingKernels()).toEqual([]);
  });
});
