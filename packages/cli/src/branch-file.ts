import type { BranchRun } from "@noisescale/statistics";
import { CommandError, type Terminal } from "./command.ts";
import { csvRecords, mostProblems, textOfFile } from "./csv-file.ts";

const columns = { required: ["batch_size", "step", "loss"], optional: ["seed"] };

/** A field as CSV and JSON hold it. */
type Field = string | number | null | undefined;
type Fields = Readonly<Record<string, Field>>;

/**
 * Reads the losses of branches: CSV with a header, or NDJSON of the same fields.
 *
 * @param file - path, or `-` for standard input
 * @throws CommandError that names the lines at fault and why
 */
export async function readBranchFile(file: string, terminal: Terminal): Promise<BranchRun[]> {
  const name = file === "-" ? "Standard input" : file;
  const content = await textOfFile(file, terminal);
  const runs = new Map<string, { batchSize: number; seed: string | undefined; losses: Map<number, number> }>();
  const problems: string[] = [];
  const records = content.trimStart().startsWith("{") ? jsonRecords(content) : csvRecords(content, name, columns);
  for (const { record, line } of records) {
    try {
      const { batchSize, step, loss, seed } = rowOf(record);
      const key = JSON.stringify([batchSize, seed]);
      const run = runs.get(key) ?? { batchSize, seed, losses: new Map() };
      if (run.losses.has(step)) throw new Error(`step ${step} of this batch size and seed stands there twice`);
      run.losses.set(step, loss);
      runs.set(key, run);
    } catch (error) {
      problems.push(`line ${line}: ${(error as Error).message}`);
      if (problems.length === mostProblems) break;
    }
  }
  if (problems.length > 0) throw new CommandError(`${name} cannot be read:\n  ${problems.join("\n  ")}`);
  if (runs.size === 0) throw new CommandError(`${name} holds no loss.`);
  return fromCheckpoint(
    [...runs.values()].map((run) => ({
      ...run,
      losses: [...run.losses].map(([step, loss]) => ({ step, loss })),
    })),
  );
}

/** Steps from the least one of all branches on, which is the checkpoint's. */
export function fromCheckpoint(runs: readonly BranchRun[]): BranchRun[] {
  const first = runs.reduce(
    (least, { losses }) => losses.reduce((own, { step }) => Math.min(own, step), least),
    Number.POSITIVE_INFINITY,
  );
  return runs.map((run) => ({
    ...run,
    losses: run.losses.map(({ step, loss }) => ({ step: step - first, loss })),
  }));
}

function* jsonRecords(content: string): Iterable<{ readonly record: Fields; readonly line: number }> {
  for (const [index, text] of content.split("\n").entries()) {
    if (text.trim() === "") continue;
    let record: Fields;
    try {
      record = Object(JSON.parse(text));
    } catch {
      // An empty record is refused below, with its line.
      record = { batch_size: "no JSON object" };
    }
    yield { record, line: index + 1 };
  }
}

function rowOf(record: Fields): { batchSize: number; step: number; loss: number; seed: string | undefined } {
  const batchSize = numberIn(record["batch_size"]);
  if (!(batchSize > 0 && Number.isFinite(batchSize))) {
    throw new Error(`batch_size: must be a number above 0, not ${JSON.stringify(record["batch_size"])}`);
  }
  const step = numberIn(record["step"]);
  if (!(Number.isSafeInteger(step) && step >= 0)) {
    throw new Error(`step: must be a whole number from 0, not ${JSON.stringify(record["step"])}`);
  }
  const { seed } = record;
  return {
    batchSize,
    step,
    loss: lossIn(record["loss"]),
    seed: seed === undefined || seed === null || seed === "" ? undefined : String(seed),
  };
}

function numberIn(field: Field): number {
  return typeof field === "number" ? field : typeof field === "string" && field !== "" ? Number(field) : Number.NaN;
}

/** JSON has no word for a loss that is not finite; trainers write null. */
function lossIn(field: Field): number {
  if (field === null || (typeof field === "string" && /^[+-]?(nan|inf|infinity)$/i.test(field))) return Number.NaN;
  const loss = numberIn(field);
  if (Number.isFinite(loss)) return loss;
  throw new Error(`loss: must be a number, or nan where the branch diverged, not ${JSON.stringify(field)}`);
}
