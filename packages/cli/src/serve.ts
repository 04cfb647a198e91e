import { type Command, integerOption, textOption, UsageError } from "./command.ts";
import { defaultDataDirectory } from "./data-directory.ts";
import { startForUser } from "./start-for-user.ts";
import { stopped } from "./stop-signal.ts";

export const serve: Command = {
  name: "serve",
  summary: "collector and live page; hooks send their measurements here",
  help: `Usage: noisescale serve [--host ADDRESS] [--port PORT] [--data DIR] [--config FILE]

Starts the collector with its page and prints the address when it is ready.

  --host ADDRESS   where to listen (127.0.0.1: only this machine)
  --port PORT      0 takes a free one (7677)
  --data DIR       where the SQLite store lies (${defaultDataDirectory})
  --config FILE    trackers and limits (noisescale.config.json, where there is one)`,
  options: {
    host: { type: "string" },
    port: { type: "string" },
    data: { type: "string" },
    config: { type: "string" },
  },
  async run(arguments_, terminal) {
    if (arguments_.positionals.length > 0)
      throw new UsageError(`unexpected ${JSON.stringify(arguments_.positionals[0])}`);
    const host = textOption(arguments_, "host");
    const port = integerOption(arguments_, "port", { min: 0, max: 65_535 });
    const configFile = textOption(arguments_, "config");
    const collector = await startForUser({
      dataDirectory: textOption(arguments_, "data") ?? defaultDataDirectory,
      ...(host === undefined ? {} : { host }),
      ...(port === undefined ? {} : { port }),
      ...(configFile === undefined ? {} : { configFile }),
    });
    terminal.output.write(`${collector.url}\n`);
    await stopped(terminal.stop);
    await collector.close();
  },
};
