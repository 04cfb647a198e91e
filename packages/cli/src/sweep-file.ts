import type { SweepRun } from "@noisescale/statistics";
import { CommandError, type Terminal } from "./command.ts";
import { type CsvRecord, csvRecords, mostProblems, textOfFile } from "./csv-file.ts";

/** A line of a sweep: when a run reached a target. */
export interface SweepRow extends SweepRun {
  readonly target: number;
}

const columns = { required: ["batch_size", "steps", "target"], optional: ["run", "learning_rate", "seed"] };

/**
 * Reads a sweep from CSV: a header, then a line a run and target. Empty steps: the run never reached the target.
 *
 * @param file - path, or `-` for standard input
 * @throws CommandError that names the lines at fault and why
 */
export async function readSweepFile(file: string, terminal: Terminal): Promise<SweepRow[]> {
  const name = file === "-" ? "Standard input" : file;
  const rows: SweepRow[] = [];
  const problems: string[] = [];
  const seen = new Map<string, number>();
  for (const { record, line } of csvRecords(await textOfFile(file, terminal), name, columns)) {
    try {
      const row = rowOf(record);
      for (const key of keysOf(record, row)) {
        const before = seen.get(key);
        if (before !== undefined)
          throw new Error(`the same ${key.slice(0, key.indexOf(" "))} and target stand in line ${before}`);
        seen.set(key, line);
      }
      rows.push(row);
    } catch (error) {
      problems.push(`line ${line}: ${(error as Error).message}`);
      if (problems.length === mostProblems) break;
    }
  }
  if (problems.length > 0) throw new CommandError(`${name} cannot be read:\n  ${problems.join("\n  ")}`);
  if (rows.length === 0) throw new CommandError(`${name} holds no run.`);
  const unrated = rows.findIndex(({ learningRate }) => learningRate === undefined);
  if (unrated !== -1 && rows.some(({ learningRate }) => learningRate !== undefined)) {
    throw new CommandError(`${name} cannot be read: learning_rate is empty in some lines and not in others.`);
  }
  return rows;
}

function rowOf(record: CsvRecord): SweepRow {
  const batchSize = positive(record, "batch_size");
  if (batchSize === undefined) throw new Error("batch_size: is empty");
  const target = record["target"] ?? "";
  if (target === "" || !Number.isFinite(Number(target))) {
    throw new Error(`target: must be a number, not ${JSON.stringify(target)}`);
  }
  return {
    batchSize,
    target: Number(target),
    steps: positive(record, "steps"),
    learningRate: positive(record, "learning_rate"),
  };
}

function positive(record: CsvRecord, column: string): number | undefined {
  const value = record[column] ?? "";
  if (value === "") return undefined;
  const number = Number(value);
  if (number > 0 && Number.isFinite(number)) return number;
  const or = column === "steps" ? ", or empty where the target was never reached," : "";
  throw new Error(`${column}: must be a number above 0${or}${or === "" ? "," : ""} not ${JSON.stringify(value)}`);
}

/** What may stand in a file only once: a run at a target, and a seed of a batch size and learning rate at a target. */
function keysOf({ run = "", seed = "" }: CsvRecord, { target, batchSize, learningRate }: SweepRow): string[] {
  return [
    ...(run === "" ? [] : [`run ${JSON.stringify([target, run])}`]),
    ...(seed === "" ? [] : [`seed ${JSON.stringify([target, seed, batchSize, learningRate])}`]),
  ];
}
