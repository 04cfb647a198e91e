import { checkBranches, planBranches } from "@noisescale/statistics";
import { collectorOption } from "./ask-collector.ts";
import { readBranchFile } from "./branch-file.ts";
import { readBranchGroup } from "./branch-group.ts";
import { checkJson, checkText, planJson, planText } from "./branch-text.ts";
import { type Command, type CommandArguments, CommandError, type Terminal, textOption, UsageError } from "./command.ts";

const forPlan = ["batch-size", "learning-rate", "optimizer", "noise-scale", "multiples", "units"];
const forRead = ["collector", "window"];

export const branch: Command = {
  name: "branch",
  summary: "largest batch size from a checkpoint on, by training branches",
  help: `Usage: noisescale branch plan --batch-size B [--learning-rate R] [--optimizer adam|sgd] [--noise-scale N]
                              [--multiples 1,2,4,8] [--units U] [--group NAME] [--tolerance 0.01] [--json]
       noisescale branch read FILE [--tolerance 0.01] [--window 0.25] [--json]
       noisescale branch read --collector URL --group NAME [the same]

Measures what batch size a training bears at a checkpoint (Merrill et al. 2025): train on from it at B, 2B, 4B ... with the
rate scaled, and find the largest batch whose loss, after as many examples, is no more than the tolerance above that of any
smaller one.

plan says which branches to train:
  --batch-size B     that the checkpoint was trained with
  --learning-rate R  at the checkpoint; without it the factors are given
  --optimizer KIND   adam (default): the rate times the root of k; sgd: times (1 + N/B)/(1 + N/kB), or k without N
  --noise-scale N    of the training at the checkpoint, for sgd's rate
  --multiples K,K    of B; 1,2,4,8
  --units U          what each branch trains on, in what a batch size counts; 100 steps of the largest batch
  --group NAME       of the branches in the collector; branch-B

read answers from the branches' losses. FILE is CSV (- for standard input), a line a step, or NDJSON of the same fields:

  batch_size,step,loss[,seed]

Steps count from the checkpoint, or from any number that all branches share. A loss of nan or inf says that the branch
diverged. Runs of one seed that saw the same examples in the same order are compared in pairs. A collector's runs are those
of the group; their tag "seed" counts as seed.
  --collector URL    its address
  --group NAME       as the runs declare it
  --tolerance T      by how much a loss may be higher and count as no worse; 0.01
  --window W         share of the examples, at the end, that the loss is smoothed over; 0.25

  --json             one JSON object, in place of the text

Exit code 1 where the branches cannot be read or compared. "Not settled" is an answer: the noise leaves it open.`,
  options: {
    "batch-size": { type: "string" },
    "learning-rate": { type: "string" },
    optimizer: { type: "string" },
    "noise-scale": { type: "string" },
    multiples: { type: "string" },
    units: { type: "string" },
    collector: { type: "string" },
    group: { type: "string" },
    tolerance: { type: "string" },
    window: { type: "string" },
    json: { type: "boolean" },
  },
  async run(arguments_, terminal) {
    const [part, file, unexpected] = arguments_.positionals;
    if (part !== "plan" && part !== "read") {
      throw new UsageError(part === undefined ? "say plan or read" : `say plan or read, not ${JSON.stringify(part)}`);
    }
    const foreign = (part === "plan" ? forRead : forPlan).find((name) => arguments_.values[name] !== undefined);
    if (foreign !== undefined) throw new UsageError(`--${foreign} does not go with ${part}`);
    if (unexpected !== undefined) throw new UsageError(`unexpected ${JSON.stringify(unexpected)}`);
    if (part === "plan") plan(file, arguments_, terminal);
    else await read(file, arguments_, terminal);
  },
};

function plan(file: string | undefined, arguments_: CommandArguments, terminal: Terminal): void {
  if (file !== undefined) throw new UsageError(`unexpected ${JSON.stringify(file)}`);
  const batchSize = numberOption(arguments_, "batch-size");
  if (batchSize === undefined) throw new UsageError("plan needs --batch-size");
  const optimizer = textOption(arguments_, "optimizer") ?? "adam";
  if (optimizer !== "adam" && optimizer !== "sgd") {
    throw new UsageError(`--optimizer must be adam or sgd, not ${JSON.stringify(optimizer)}`);
  }
  const found = planBranches({
    batchSize,
    optimizer,
    multiples: multiplesOption(arguments_),
    noiseScale: numberOption(arguments_, "noise-scale"),
    units: numberOption(arguments_, "units"),
  });
  const named = {
    plan: found,
    group: textOption(arguments_, "group") ?? `branch-${batchSize}`,
    learningRate: numberOption(arguments_, "learning-rate"),
    tolerance: toleranceOption(arguments_),
  };
  terminal.output.write(arguments_.values["json"] === true ? `${JSON.stringify(planJson(named))}\n` : planText(named));
}

async function read(file: string | undefined, arguments_: CommandArguments, terminal: Terminal): Promise<void> {
  const collector = collectorOption(arguments_);
  const group = textOption(arguments_, "group");
  if ((file === undefined) === (collector === undefined)) {
    throw new UsageError("name a FILE (or - for standard input), or a --collector");
  }
  if ((group === undefined) !== (collector === undefined)) throw new UsageError("--collector and --group go together");
  const options = { tolerance: toleranceOption(arguments_), window: windowOption(arguments_) };
  const runs =
    collector === undefined
      ? await readBranchFile(file ?? "", terminal)
      : await readBranchGroup(collector, group ?? "", terminal);
  const check = checkBranches(runs, options);
  if (!check.read) throw new CommandError(check.reason);
  terminal.output.write(
    arguments_.values["json"] === true ? `${JSON.stringify(checkJson(check))}\n` : checkText(check),
  );
}

function numberOption(arguments_: CommandArguments, name: string): number | undefined {
  const text = textOption(arguments_, name);
  if (text === undefined) return undefined;
  const value = Number(text);
  if (value > 0 && Number.isFinite(value)) return value;
  throw new UsageError(`--${name} must be a number above 0, not ${JSON.stringify(text)}`);
}

function toleranceOption(arguments_: CommandArguments): number {
  const text = textOption(arguments_, "tolerance") ?? "0.01";
  const value = text.trim() === "" ? Number.NaN : Number(text);
  if (value >= 0 && Number.isFinite(value)) return value;
  throw new UsageError(`--tolerance must be a number from 0, not ${JSON.stringify(text)}`);
}

function windowOption(arguments_: CommandArguments): number {
  const value = numberOption(arguments_, "window") ?? 0.25;
  if (value > 1) throw new UsageError(`--window must be a share of at most 1, not ${value}`);
  return value;
}

function multiplesOption(arguments_: CommandArguments): number[] {
  const text = textOption(arguments_, "multiples") ?? "1,2,4,8";
  const multiples = text.split(",").map((part) => (part.trim() === "" ? Number.NaN : Number(part)));
  if (multiples.every((multiple) => multiple > 0 && Number.isFinite(multiple))) {
    if (new Set(multiples).size > 1) return multiples;
    throw new UsageError(`--multiples must be two or more, since branches are compared, not ${JSON.stringify(text)}`);
  }
  throw new UsageError(`--multiples must be numbers above 0 with commas, such as 1,2,4,8, not ${JSON.stringify(text)}`);
}
