import { estimateText, numberText, type Unit, unitWords } from "@noisescale/charts";
import type { CalibrationAnswer, GroupFrontierAnswer } from "@noisescale/protocol";
import type { FrontierFits } from "./frontier-fits.ts";

/** Fitted frontiers as a table with its notes, for a terminal. */
export function frontierText({ fits, powerLaw }: FrontierFits, unit: Unit): string {
  const header = [
    "target",
    "critical batch size",
    "",
    "least steps",
    "",
    `least ${unitWords[unit]}`,
    "",
    "residual",
    "runs",
  ];
  const rows = fits.map((fit) => [
    String(fit.target),
    estimateText(fit.criticalBatchSize),
    range(fit.criticalBatchSizeLow, fit.criticalBatchSizeHigh),
    estimateText(fit.minSteps),
    range(fit.minStepsLow, fit.minStepsHigh),
    estimateText(fit.minUnits),
    range(fit.minUnitsLow, fit.minUnitsHigh),
    `${(100 * fit.rmsLogResidual).toPrecision(2)} %`,
    String(fit.runs),
  ]);
  const notes = fits.flatMap((fit) => [
    ...fit.points
      .filter(({ leftOut }) => leftOut)
      .map(
        ({ batchSize, neverReached, steps }) =>
          `Target ${fit.target}: batch size ${batchSize} is left out: ${neverReached} of ${neverReached + steps.length} runs never reached it.`,
      ),
    ...fit.warnings.map((warning) => `Target ${fit.target}: ${warning}`),
  ]);
  const basis = new Set(fits.map(({ intervals }) => intervals));
  return [
    ...tableLines(header, rows, []),
    "",
    `In brackets: 95 % intervals, from ${[...basis].map((intervals) => (intervals === "seeds" ? "the seeds" : "the fit's residuals")).join(" or ")}. At the critical batch size both steps and ${unitWords[unit]} are twice the least.`,
    powerLaw.fitted
      ? `Over the targets: critical batch size = ${estimateText(powerLaw.criticalBatchSizeAtOne)} / loss^(1/${powerLaw.alpha.toPrecision(3)}), if the target is a loss.`
      : powerLaw.reason,
    ...notes,
    "",
  ].join("\n");
}

/** What each run of a group gave to its frontier. */
export function groupText({ target, group, runs, warnings }: GroupFrontierAnswer): string {
  const rows = runs.map(({ run, batch_size, steps, learning_rate, used, remark }) =>
    [
      run,
      batch_size === null ? "–" : numberText(batch_size),
      steps === null ? "–" : estimateText(steps),
      learning_rate === null ? "–" : String(learning_rate),
      remark ?? (used ? "" : "not used"),
    ].map(String),
  );
  return [
    `Runs of group ${group} to ${target}:`,
    ...tableLines(["run", "batch size", "steps", "rate", ""], rows, [0, 4]),
    ...warnings,
    "",
  ].join("\n");
}

/** B_crit/B_simple of a project. */
export function calibrationText({ project, ratio, ratio_low: low, ratio_high: high, runs }: CalibrationAnswer): string {
  return [
    `Calibration of project ${project}: critical batch size = ${estimateText(ratio)} × B_simple, 95 % for the next run ${range(low ?? undefined, high ?? undefined)}, from ${runs.length} runs.`,
    "The project's recommendations rest on it wherever no fitted frontier is near.",
    "",
  ].join("\n");
}

/** Columns in line. @param left - those that begin at the left */
function tableLines(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  left: readonly number[],
): string[] {
  const widths = header.map((_, column) => Math.max(...[header, ...rows].map((row) => row[column]?.length ?? 0)));
  return [header, ...rows].map((row) =>
    row
      .map((cell, column) =>
        left.includes(column) ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join("  ")
      .trimEnd(),
  );
}

function range(low: number | undefined, high: number | undefined): string {
  if (low === undefined) return high === undefined ? "[not known]" : `[at most ${estimateText(high)}]`;
  return high === undefined ? `[at least ${estimateText(low)}]` : `[${estimateText(low)} to ${estimateText(high)}]`;
}
