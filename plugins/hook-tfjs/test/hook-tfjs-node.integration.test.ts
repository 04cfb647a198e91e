import * as tf from "@tensorflow/tfjs-core";
import { loadTfjsNode } from "../../../test/tools/load-tfjs-node.ts";
import { describeHook } from "./hook-suite.ts";

describeHook("tensorflow", async () => {
  loadTfjsNode();
  await tf.setBackend("tensorflow");
});
