import { createRequire } from "node:module";

const require = createRequire(import.meta.url);

/** What Node 23 took out of `util` and tfjs-node 4.22, its last release, still calls. */
const removed: Readonly<Record<string, (value: unknown) => boolean>> = {
  isNullOrUndefined: (value) => value === null || value === undefined,
  isArray: (value) => Array.isArray(value),
};

/** Registers the back end `tensorflow`. Its native library comes from build-tfjs-node.mjs. */
export function loadTfjsNode(): void {
  const util: Record<string, unknown> = require("node:util");
  for (const [name, check] of Object.entries(removed)) util[name] ??= check;
  require("@tensorflow/tfjs-node");
}
