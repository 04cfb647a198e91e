import * as tf from "@tensorflow/tfjs-core";
import { loadTfjsNode } from "../../../test/tools/load-tfjs-node.ts";
import { describeForms } from "./forms-suite.ts";
import { describeHook } from "./hook-suite.ts";

const prepare = async () => {
  loadTfjsNode();
  await tf.setBackend("tensorflow");
};

describeHook("tensorflow", prepare);
describeForms("tensorflow", prepare);
