import { type Command, textOption, UsageError } from "./command.ts";
import { defaultDataDirectory, withStore } from "./data-directory.ts";
import { parseDurationMs } from "./duration.ts";

export const prune: Command = {
  name: "prune",
  summary: "delete runs that have been quiet for long",
  help: `Usage: noisescale prune --older-than AGE [--data DIR] [--dry-run]

Deletes runs whose last measurement and whose declaration are older than AGE: a number of hours, days or weeks such as 12h, 30d or 8w.
What trackers were sent stays there.

  --data DIR   the collector's folder (${defaultDataDirectory})
  --dry-run    only say which`,
  options: { "older-than": { type: "string" }, data: { type: "string" }, "dry-run": { type: "boolean" } },
  async run(arguments_, terminal) {
    const { values, positionals } = arguments_;
    if (positionals[0] !== undefined) throw new UsageError(`unexpected ${JSON.stringify(positionals[0])}`);
    const age = textOption(arguments_, "older-than");
    if (age === undefined) throw new UsageError("--older-than is missing");
    const beforeMs = Date.now() - parseDurationMs(age, "older-than");
    const dryRun = values["dry-run"] === true;
    await withStore(textOption(arguments_, "data") ?? defaultDataDirectory, async (store) => {
      // By the sender's clock, but never before the collector heard of the run: a backfill of last year's is new here.
      const old = (await store.listRuns()).filter(
        ({ fold, createdMs }) => Math.max(fold?.timeMs ?? 0, createdMs) < beforeMs,
      );
      for (const { id, run } of old) {
        if (!dryRun) await store.transaction((transaction) => transaction.deleteRun(id));
        terminal.output.write(`${dryRun ? "would delete" : "deleted"} ${run}\n`);
      }
      terminal.messages.write(`${old.length} ${old.length === 1 ? "run" : "runs"} older than ${age}\n`);
    });
  },
};
