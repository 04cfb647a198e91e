import { type RunSummary, runDetailSchema, runListSchema, type Series, seriesSchema } from "@noisescale/protocol";
import type { BranchRun } from "@noisescale/statistics";
import { askCollector, parsedAnswer, problemText } from "./ask-collector.ts";
import { fromCheckpoint } from "./branch-file.ts";
import { CommandError, type Terminal } from "./command.ts";

/** Rows that one answer holds unreduced. */
const mostRows = 100_000;

/** Reads the losses of a group's runs from a collector. @throws CommandError where a run cannot be a branch */
export async function readBranchGroup(collector: string, group: string, terminal: Terminal): Promise<BranchRun[]> {
  const { runs } = await get(collector, "/v1/runs", runListSchema);
  const own = runs.filter((run) => run.group === group);
  if (own.length === 0) {
    const groups = [...new Set(runs.flatMap((run) => run.group ?? []))].slice(0, 5);
    throw new CommandError(
      `${collector} has no run of group ${JSON.stringify(group)}${groups.length === 0 ? "" : `; there are ${groups.join(", ")}`}.`,
    );
  }
  const read: BranchRun[] = [];
  for (const run of own) read.push(await branchOf(collector, run, terminal));
  return fromCheckpoint(read);
}

async function branchOf(collector: string, { run, state }: RunSummary, terminal: Terminal): Promise<BranchRun> {
  if (state === "live" || state === "silent")
    terminal.messages.write(`Run ${run} has not ended; what it has sent is read.\n`);
  const path = `/v1/runs/${encodeURIComponent(run)}`;
  const { tags } = await get(collector, path, runDetailSchema);
  const series = await get(collector, `${path}/series?metrics=loss,batch_size&points=${mostRows}`, seriesSchema);
  if (series.total > series.step.length) {
    throw new CommandError(`Run ${run} has ${series.total} measurements; at most ${mostRows} can be compared.`);
  }
  return { batchSize: batchSizeOf(run, series), seed: tags["seed"], losses: lossesOf(run, series) };
}

function batchSizeOf(run: string, { columns, step }: Series): number {
  const sizes = columns.batch_size ?? [];
  const [first] = sizes;
  if (first === undefined || first === null) throw new CommandError(`Run ${run} has no measurement.`);
  const other = sizes.findIndex((size) => size !== first);
  if (other === -1) return first;
  throw new CommandError(
    `Run ${run} changes its batch size, from ${first} to ${sizes[other]} at step ${step[other]}: a branch has one.`,
  );
}

function lossesOf(run: string, { columns, step }: Series): BranchRun["losses"] {
  const losses = step.flatMap((at, row) => {
    const loss = columns.loss?.[row];
    return loss === undefined || loss === null ? [] : [{ step: at, loss }];
  });
  if (losses.length > 0) return losses;
  throw new CommandError(`Run ${run} has no loss: its hook has to send one with each measurement.`);
}

async function get<Answer>(
  collector: string,
  path: string,
  schema: { safeParse(value: unknown): { readonly success: boolean; readonly data?: Answer } },
): Promise<Answer> {
  const { status, body, text } = await askCollector(collector, path);
  if (status !== 200) throw new CommandError(`${collector} answered ${status}: ${problemText(body, text)}`);
  return parsedAnswer(schema, body, collector);
}
