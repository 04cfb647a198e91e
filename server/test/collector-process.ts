// A collector in a process of its own, for tests that kill it: prints its address.
import { startCollector } from "../src/index.ts";

const [dataDirectory] = process.argv.slice(2);
if (dataDirectory === undefined) throw new Error("usage: collector-process.ts DIRECTORY");
const { url } = await startCollector({
  dataDirectory,
  port: 0,
  config: { trackers: [{ name: "tensorboard", kind: "tensorboard", root: `${dataDirectory}/tensorboard` }] },
});
process.stdout.write(`${url}\n`);
