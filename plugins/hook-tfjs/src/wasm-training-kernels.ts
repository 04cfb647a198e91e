import * as tf from "@tensorflow/tfjs-core";

/** What the kernels use of the wasm back end. */
interface WasmBackend {
  makeOutput(shape: readonly number[], dtype: tf.DataType): tf.TensorInfo;
  typedArrayFromHeap(tensor: tf.TensorInfo): Float32Array | Int32Array;
  disposeData(dataId: tf.DataId): boolean;
}

/**
 * Registers the kernels that training convolutions and embeddings needs and that the wasm back end lacks:
 * `Conv2DBackpropFilter` and `UnsortedSegmentSum`. One that exists already, from a later tfjs or from the user, is left
 * alone. Call it once, after `@tensorflow/tfjs-backend-wasm` is imported.
 * @returns names of the kernels that were added
 */
export function registerWasmTrainingKernels(): string[] {
  const kernels: [string, tf.KernelFunc][] = [
    ["Conv2DBackpropFilter", conv2dBackpropFilter],
    ["UnsortedSegmentSum", unsortedSegmentSum],
  ];
  const missing = kernels.filter(([kernelName]) => tf.getKernel(kernelName, "wasm") === undefined);
  for (const [kernelName, kernelFunc] of missing) tf.registerKernel({ kernelName, backendName: "wasm", kernelFunc });
  return missing.map(([kernelName]) => kernelName);
}

/**
 * The filter's gradient is itself a convolution, with the batch in the place of the channels:
 *
 *   dW[i, j, c, o] = Σ_n,y,x X[n, y·s + i − p, x·s + j − p, c] · dY[n, y, x, o]
 *
 * so X, as images [c, height, width, n], is convolved with dY, as a filter [y, x, n, o], the stride s becoming a dilation.
 */
const conv2dBackpropFilter: tf.KernelFunc = ({ inputs, attrs, backend }) => {
  const { x, dy } = inputs as { x: tf.TensorInfo; dy: tf.TensorInfo };
  const { strides, pad, dimRoundingMode, filterShape, dataFormat } = attrs as {
    strides: [number, number] | number;
    pad: "valid" | "same" | number | tf.backend_util.ExplicitPadding;
    dimRoundingMode?: "floor" | "round" | "ceil";
    filterShape: [number, number, number, number];
    dataFormat: string;
  };
  if (dataFormat !== "NHWC") {
    throw new Error(
      `Conv2DBackpropFilter on wasm: dataFormat ${dataFormat} is not supported, use channelsLast (NHWC).`,
    );
  }
  const info = tf.backend_util.computeConv2DInfo(
    x.shape as [number, number, number, number],
    filterShape,
    strides,
    1,
    pad,
    dimRoundingMode,
  );
  const { top, left } = info.padInfo;
  // As much padding behind as makes the output exactly as large as the filter; negative where a stride skipped rows.
  const bottom = (info.outHeight - 1) * info.strideHeight + info.filterHeight - info.inHeight - top;
  const right = (info.outWidth - 1) * info.strideWidth + info.filterWidth - info.inWidth - left;
  const wasm = backend as unknown as WasmBackend;
  const run = (name: string, given: tf.NamedTensorInfoMap, options: object): tf.TensorInfo => {
    const kernel = tf.getKernel(name, "wasm");
    const out = kernel.kernelFunc({ inputs: given, attrs: options as tf.NamedAttrMap, backend });
    return (Array.isArray(out) ? out[0] : out) as tf.TensorInfo;
  };
  const height = info.inHeight + Math.min(0, bottom);
  const width = info.inWidth + Math.min(0, right);
  const used =
    height === info.inHeight && width === info.inWidth
      ? undefined
      : run("Slice", { x }, { begin: [0, 0, 0, 0], size: [info.batchSize, height, width, info.inChannels] });
  const images = run("Transpose", { x: used ?? x }, { perm: [3, 1, 2, 0] });
  const filter = run("Transpose", { x: dy }, { perm: [1, 2, 0, 3] });
  const convolved = run(
    "Conv2D",
    { x: images, filter },
    {
      strides: [1, 1],
      dilations: [info.strideHeight, info.strideWidth],
      pad: [
        [0, 0],
        [top, Math.max(0, bottom)],
        [left, Math.max(0, right)],
        [0, 0],
      ],
      dataFormat: "NHWC",
      dimRoundingMode: undefined,
    },
  );
  const gradient = run("Transpose", { x: convolved }, { perm: [1, 2, 0, 3] });
  for (const tensor of [used, images, filter, convolved]) if (tensor !== undefined) wasm.disposeData(tensor.dataId);
  return gradient;
};

/** Row r of x is added to row segmentIds[r] of the output; rows with an id outside 0 … numSegments − 1 are left out. */
const unsortedSegmentSum: tf.KernelFunc = ({ inputs, attrs, backend }) => {
  const { x, segmentIds } = inputs as { x: tf.TensorInfo; segmentIds: tf.TensorInfo };
  const { numSegments } = attrs as { numSegments: number };
  const wasm = backend as unknown as WasmBackend;
  const rest = x.shape.slice(segmentIds.shape.length);
  const columns = tf.util.sizeFromShape(rest);
  const out = wasm.makeOutput([numSegments, ...rest], x.dtype);
  // Views of the wasm heap: making one after another output was made could leave it detached.
  const sums = wasm.typedArrayFromHeap(out);
  const values = wasm.typedArrayFromHeap(x);
  const ids = wasm.typedArrayFromHeap(segmentIds);
  sums.fill(0);
  for (let row = 0; row < ids.length; row++) {
    const id = ids[row] ?? -1;
    if (id < 0 || id >= numSegments) continue;
    for (let column = 0; column < columns; column++) {
      sums[id * columns + column] = (sums[id * columns + column] ?? 0) + (values[row * columns + column] ?? 0);
    }
  }
  return out;
};
