import { writeFile } from "node:fs/promises";
import { basename } from "node:path";
import { panelsOfSweep, type SweepData } from "@noisescale/charts";
import { type Unit, unitSchema } from "@noisescale/protocol";
import { type Command, type CommandArguments, CommandError, textOption, UsageError } from "./command.ts";
import { fitTargets, frontierJson } from "./frontier-fits.ts";
import { frontierText } from "./frontier-text.ts";
import { readSweepFile } from "./sweep-file.ts";

export const frontier: Command = {
  name: "frontier",
  summary: "critical batch size from a sweep over batch sizes",
  help: `Usage: noisescale frontier FILE [--json] [--html FILE] [--png FILE] [--loss-png FILE] [--unit UNIT]

Fits steps = S_min·(1 + B_crit/batch size) to each target of a sweep. FILE is CSV, or - for standard input:

  batch_size,steps,target[,run,learning_rate,seed]

A line says after how many steps a run reached a target, such as a loss; steps are empty where it never did. Of several
learning rates the one with the least median of steps counts at each batch size. At least three batch sizes are needed;
three seeds of each give the better intervals.

  --json            one JSON object, in place of the table
  --html FILE       a page with the panels: frontiers, and critical batch size against loss
  --png FILE        a picture of the frontiers
  --loss-png FILE   a picture of the critical batch size against loss, of two targets or more
  --unit UNIT       what a batch size counts, for the words: example (default), token, timestep

Exit code 1 where a target cannot be fitted; the others are still answered.`,
  options: {
    json: { type: "boolean" },
    html: { type: "string" },
    png: { type: "string" },
    "loss-png": { type: "string" },
    unit: { type: "string" },
  },
  async run(arguments_, terminal) {
    const [file, unexpected] = arguments_.positionals;
    if (file === undefined) throw new UsageError("name a FILE, or - for standard input");
    if (unexpected !== undefined) throw new UsageError(`unexpected ${JSON.stringify(unexpected)}`);
    const unit = unitOption(arguments_);
    const found = fitTargets(await readSweepFile(file, terminal));
    if (found.fits.length > 0) {
      const json = arguments_.values["json"] === true;
      terminal.output.write(json ? `${JSON.stringify(frontierJson(found))}\n` : frontierText(found, unit));
      const name = file === "-" ? "standard input" : basename(file);
      await writePanels({ name, unit, targets: found.fits, powerLaw: found.powerLaw }, arguments_);
    }
    if (found.unfitted.length > 0) {
      throw new CommandError(
        found.unfitted.map(({ target, reason }) => `target ${target} cannot be fitted. ${reason}`).join("\n  "),
      );
    }
  },
};

/** Only where a picture is wanted is what draws it loaded. */
async function writePanels(data: SweepData, arguments_: CommandArguments): Promise<void> {
  const html = textOption(arguments_, "html");
  if (html !== undefined) {
    const { renderSweepHtml } = await import("@noisescale/charts/html");
    await write(html, renderSweepHtml(data));
  }
  for (const [option, panel] of [
    ["png", "sweep-frontier"],
    ["loss-png", "critical-batch-size"],
  ] as const) {
    const file = textOption(arguments_, option);
    if (file === undefined) continue;
    if (!panelsOfSweep(data).includes(panel)) {
      throw new CommandError(`--${option} needs two targets that can be fitted; ${file} is not written.`);
    }
    const { renderSweepPng } = await import("@noisescale/charts/png");
    await write(file, renderSweepPng(panel, data));
  }
}

async function write(file: string, content: string | Uint8Array): Promise<void> {
  try {
    await writeFile(file, content);
  } catch (error) {
    throw new CommandError(`${file} cannot be written: ${(error as Error).message}`);
  }
}

function unitOption(arguments_: CommandArguments): Unit {
  const unit = textOption(arguments_, "unit") ?? "example";
  const parsed = unitSchema.safeParse(unit);
  if (!parsed.success) throw new UsageError(`--unit must be example, token or timestep, not ${JSON.stringify(unit)}`);
  return parsed.data;
}
