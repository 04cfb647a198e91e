import { Worker } from "node:worker_threads";
import type { TrainingMessage, TrainingOrder } from "./training-messages.ts";

export type TrainingResult = Extract<TrainingMessage, { kind: "done" }>;

// The sources run as they are, the built package as JavaScript.
const script = new URL(import.meta.url.endsWith(".ts") ? "./training.ts" : "./training.js", import.meta.url);

/** Trains in a thread; undefined where `stop` ended it before. */
export async function trainInThread(
  order: TrainingOrder,
  stop: AbortSignal,
  onMessage: (message: Exclude<TrainingMessage, { kind: "done" }>) => void,
): Promise<TrainingResult | undefined> {
  // What the network library prints is no part of an answer on standard output.
  const worker = new Worker(script, { workerData: order, stdout: true, stderr: true });
  worker.stdout.resume();
  worker.stderr.resume();
  const end = (): void => void worker.terminate();
  stop.addEventListener("abort", end, { once: true });
  try {
    return await new Promise((resolve, reject) => {
      let result: TrainingResult | undefined;
      worker.on("message", (message: TrainingMessage) => {
        if (message.kind === "done") result = message;
        else onMessage(message);
      });
      worker.once("error", reject);
      worker.once("exit", (code) => {
        if (result !== undefined || stop.aborted) resolve(result);
        else reject(new Error(`The training thread ended with code ${code} before it was done.`));
      });
    });
  } finally {
    stop.removeEventListener("abort", end);
  }
}
