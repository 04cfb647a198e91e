import "@tensorflow/tfjs-backend-wasm";
import * as tf from "@tensorflow/tfjs-core";
import { registerWasmTrainingKernels } from "../src/index.ts";
import { describeForms } from "./forms-suite.ts";
import { describeHook } from "./hook-suite.ts";

const prepare = async () => {
  await tf.setBackend("wasm");
  registerWasmTrainingKernels();
};

describeHook("wasm", prepare);
describeForms("wasm", prepare);
