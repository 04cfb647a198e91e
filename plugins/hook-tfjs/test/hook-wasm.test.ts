import "@tensorflow/tfjs-backend-wasm";
import * as tf from "@tensorflow/tfjs-core";
import { registerWasmTrainingKernels } from "../src/index.ts";
import { describeHook } from "./hook-suite.ts";

describeHook("wasm", async () => {
  await tf.setBackend("wasm");
  registerWasmTrainingKernels();
});
