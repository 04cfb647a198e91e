import { createWriteStream } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type Store, toWireMeasurement } from "@noisescale/server";
import { type Command, CommandError, textOption, UsageError } from "./command.ts";
import { defaultDataDirectory, withStore } from "./data-directory.ts";

export const exportRun: Command = {
  name: "export",
  summary: "measurements of a run as NDJSON, as they came",
  help: `Usage: noisescale export RUN [--data DIR] [--output FILE]

Writes the run's declaration and every measurement, a JSON object a line: \`noisescale estimate\` and a collector read it.

  --data DIR      the collector's folder (${defaultDataDirectory})
  --output FILE   in place of standard output`,
  options: { data: { type: "string" }, output: { type: "string" } },
  async run(arguments_, terminal) {
    const [run, unexpected] = arguments_.positionals;
    if (run === undefined) throw new UsageError("name a RUN");
    if (unexpected !== undefined) throw new UsageError(`unexpected ${JSON.stringify(unexpected)}`);
    const file = textOption(arguments_, "output");
    await withStore(textOption(arguments_, "data") ?? defaultDataDirectory, async (store) => {
      const lines = Readable.from(linesOf(store, run));
      if (file === undefined) await pipeline(lines, terminal.output, { end: false });
      else await pipeline(lines, createWriteStream(file)).catch(failedWrite(file));
    });
  },
};

async function* linesOf(store: Store, name: string): AsyncIterable<string> {
  const run = await store.findRun(name);
  if (run === undefined) {
    const known = (await store.listRuns()).slice(0, 5).map((row) => row.run);
    throw new CommandError(
      `There is no run ${JSON.stringify(name)}${known.length === 0 ? "" : `; the latest are ${known.join(", ")}`}.`,
    );
  }
  const { tags, ...declaration } = run.declaration;
  yield `${JSON.stringify({ run: { ...declaration, ...(tags && { tags: Object.fromEntries(tags) }) } })}\n`;
  for await (const measurement of store.measurements(run.id)) {
    yield `${JSON.stringify(toWireMeasurement(measurement))}\n`;
  }
}

function failedWrite(file: string): (error: unknown) => never {
  return (error) => {
    if (error instanceof CommandError) throw error;
    throw new CommandError(`${file} cannot be written: ${error instanceof Error ? error.message : String(error)}`);
  };
}
