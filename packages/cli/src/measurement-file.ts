import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { fieldErrors, type RunDeclaration, runDeclarationSchema } from "@noisescale/protocol";
import { checkRecords, type RunMeasurement, toRunSettings } from "@noisescale/server";
import { CommandError, type Terminal } from "./command.ts";

/** Broken lines that are named before reading stops. */
const mostProblems = 10;

/** What an NDJSON file holds: the run, where its first line declares it, and the measurements by attempt and step. */
export interface MeasurementFile {
  readonly declaration: RunDeclaration;
  readonly measurements: readonly RunMeasurement[];
}

/** A file that says nothing of its run is one of no particular project. */
const undeclared: RunDeclaration = { project: "default", unit: "example" };

/**
 * Reads NDJSON as it goes over the wire: an optional first line {"run": {…}}, then a measurement a line.
 *
 * @param file - path, or `-` for standard input
 * @throws CommandError that names the lines at fault and why
 */
export async function readMeasurementFile(file: string, terminal: Terminal): Promise<MeasurementFile> {
  const problems: string[] = [];
  const measurements = new Map<string, RunMeasurement>();
  let declaration = undeclared;
  let number = 0;
  for await (const line of linesOf(file, terminal)) {
    number += 1;
    if (line.trim() === "") continue;
    try {
      const value: unknown = JSON.parse(line);
      if (isDeclaration(value)) declaration = parseDeclaration(value.run, number);
      else keep(measurements, parseMeasurement(value, declaration));
    } catch (error) {
      const reason = error instanceof SyntaxError ? `not JSON: ${error.message}` : (error as Error).message;
      problems.push(`line ${number}: ${reason}`);
      if (problems.length === mostProblems) break;
    }
  }
  if (problems.length > 0) throw new CommandError(`${nameOf(file)} cannot be read:\n  ${problems.join("\n  ")}`);
  return { declaration, measurements: [...measurements.values()] };
}

async function* linesOf(file: string, terminal: Terminal): AsyncIterable<string> {
  const input = file === "-" ? terminal.input : createReadStream(file, "utf8");
  try {
    yield* createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new CommandError(
      code === "ENOENT" ? `There is no file ${file}.` : `${nameOf(file)} cannot be read: ${message}`,
    );
  }
}

function isDeclaration(value: unknown): value is { readonly run: unknown } {
  return typeof value === "object" && value !== null && Object.keys(value).join() === "run";
}

function parseDeclaration(value: unknown, line: number): RunDeclaration {
  if (line !== 1) throw new Error("the run is declared in the first line only");
  const parsed = runDeclarationSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new Error(
    fieldErrors(parsed.error)
      .map(({ path, message }) => `run.${path}: ${message}`)
      .join("; "),
  );
}

function parseMeasurement(value: unknown, declaration: RunDeclaration): RunMeasurement {
  const { good, rejected } = checkRecords([{ value }], 0, toRunSettings(declaration));
  const [measurement] = good;
  if (measurement !== undefined) return measurement.measurement;
  const [problem] = rejected;
  throw new Error(`${problem?.path === "" ? "the record" : problem?.path}: ${problem?.message}`);
}

/** Twice the same counts once; twice the same step with other values is a mistake in the file. */
function keep(measurements: Map<string, RunMeasurement>, measurement: RunMeasurement): void {
  const key = `${measurement.attempt} ${measurement.step}`;
  const kept = measurements.get(key);
  if (kept !== undefined && JSON.stringify(kept) !== JSON.stringify(measurement)) {
    throw new Error(`step: ${measurement.step} stands above with other values`);
  }
  measurements.set(key, measurement);
}

function nameOf(file: string): string {
  return file === "-" ? "Standard input" : file;
}
