export type { BatchSizeChange } from "@noisescale/client";
export type { EventCode, MeasurementSink } from "./report.ts";
export { registerWasmTrainingKernels } from "./wasm-training-kernels.ts";
export { watch } from "./watch.ts";
export { type LoopWatcher, watchLoop } from "./watch-loop.ts";
export type { WatchOptions } from "./watch-options.ts";
export type { Watcher } from "./watcher.ts";
