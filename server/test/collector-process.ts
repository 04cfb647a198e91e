// A collector in a process of its own, for tests that kill it: prints its address.
import { startCollector } from "../src/index.ts";

const [dataDirectory, alerts = "{}"] = process.argv.slice(2);
if (dataDirectory === undefined) throw new Error("usage: collector-process.ts DIRECTORY [ALERTS]");
const { url } = await startCollector({
  dataDirectory,
  port: 0,
  config: {
    alerts: JSON.parse(alerts),
    trackers: [{ name: "tensorboard", kind: "tensorboard", root: `${dataDirectory}/tensorboard` }],
  },
});
process.stdout.write(`${url}\n`);
