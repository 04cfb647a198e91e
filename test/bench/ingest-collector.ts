// The collector of the ingest benchmark, in a process of its own: prints its address, ends on a line of standard input.
import { once } from "node:events";
import { join } from "node:path";
import { startCollector } from "@noisescale/server";

const directory = process.argv[2];
if (directory === undefined) throw new Error("usage: ingest-collector.ts DIRECTORY");
const collector = await startCollector({
  dataDirectory: directory,
  port: 0,
  config: { trackers: [{ name: "tensorboard", kind: "tensorboard", root: join(directory, "tensorboard") }] },
});
process.stdout.write(`${collector.url}\n`);
await once(process.stdin, "data");
await collector.close();
process.exitCode = 0;
process.stdin.destroy();
