import { basename } from "node:path";
import type { Snapshot } from "@noisescale/protocol";
import { effectiveSegments, toObservation, toRunSettings, toSnapshot } from "@noisescale/server";
import { RunEstimator } from "@noisescale/statistics";
import { type Command, CommandError, UsageError } from "./command.ts";
import { type MeasurementFile, readMeasurementFile } from "./measurement-file.ts";
import { summaryText } from "./summary-text.ts";

export const estimate: Command = {
  name: "estimate",
  summary: "noise scale of measurements in a file, without a collector",
  help: `Usage: noisescale estimate FILE [--json]

Reads NDJSON, a measurement a line as on the wire; the first line may declare the run: {"run": {"project": …}}.
FILE may be - for standard input.

  --json   the last full snapshot as one JSON object, in place of the summary`,
  options: { json: { type: "boolean" } },
  async run({ values, positionals }, terminal) {
    const [file, unexpected] = positionals;
    if (file === undefined) throw new UsageError("name a FILE, or - for standard input");
    if (unexpected !== undefined) throw new UsageError(`unexpected ${JSON.stringify(unexpected)}`);
    const read = await readMeasurementFile(file, terminal);
    if (read.measurements.length === 0)
      throw new CommandError(`${file === "-" ? "Standard input" : file} holds no measurement.`);
    const snapshot = snapshotOf(read, runName(file));
    terminal.output.write(values["json"] === true ? `${JSON.stringify(snapshot)}\n` : summaryText(snapshot));
  },
};

/** The estimate that a collector would hold after these measurements, whatever their order. */
export function snapshotOf({ declaration, measurements }: MeasurementFile, run: string): Snapshot {
  const byAttempt = Map.groupBy(measurements, ({ attempt }) => attempt);
  const starts = [...byAttempt].map(([attempt, own]) => ({
    attempt,
    firstStep: own.reduce((first, { step }) => Math.min(first, step), Number.POSITIVE_INFINITY),
  }));
  const estimator = new RunEstimator(toRunSettings(declaration));
  let last: { readonly attempt: number; readonly timeMs: number } | undefined;
  for (const { attempt, from, to } of effectiveSegments(starts, 0)) {
    const counted = (byAttempt.get(attempt) ?? []).filter(({ step }) => step >= from && step <= to);
    for (const measurement of counted.sort((one, other) => one.step - other.step)) {
      estimator.add(toObservation(measurement));
      last = measurement;
    }
  }
  return toSnapshot(estimator.estimate(), {
    run,
    unit: declaration.unit,
    datasetUnits: declaration.dataset_units,
    attempt: last?.attempt ?? 0,
    timeMs: last?.timeMs ?? null,
  });
}

function runName(file: string): string {
  const name = file === "-" ? "stdin" : basename(file).replace(/\.[^.]*$/, "");
  return name.replace(/[^A-Za-z0-9._-]/g, "_").slice(0, 128) || "run";
}
