import { type Command, CommandError, UsageError } from "./command.ts";
import { fitTargets, frontierJson } from "./frontier-fits.ts";
import { frontierText } from "./frontier-text.ts";
import { readSweepFile } from "./sweep-file.ts";

export const frontier: Command = {
  name: "frontier",
  summary: "critical batch size from a sweep over batch sizes",
  help: `Usage: noisescale frontier FILE [--json]

Fits steps = S_min·(1 + B_crit/batch size) to each target of a sweep. FILE is CSV, or - for standard input:

  batch_size,steps,target[,run,learning_rate,seed]

A line says after how many steps a run reached a target, such as a loss; steps are empty where it never did. Of several
learning rates the one with the least median of steps counts at each batch size. At least three batch sizes are needed;
three seeds of each give the better intervals.

  --json   one JSON object, in place of the table

Exit code 1 where a target cannot be fitted; the others are still answered.`,
  options: { json: { type: "boolean" } },
  async run({ values, positionals }, terminal) {
    const [file, unexpected] = positionals;
    if (file === undefined) throw new UsageError("name a FILE, or - for standard input");
    if (unexpected !== undefined) throw new UsageError(`unexpected ${JSON.stringify(unexpected)}`);
    const found = fitTargets(await readSweepFile(file, terminal));
    if (found.fits.length > 0) {
      terminal.output.write(values["json"] === true ? `${JSON.stringify(frontierJson(found))}\n` : frontierText(found));
    }
    if (found.unfitted.length > 0) {
      throw new CommandError(
        found.unfitted.map(({ target, reason }) => `target ${target} cannot be fitted. ${reason}`).join("\n  "),
      );
    }
  },
};
