import { estimateText, type Unit, unitWords } from "@noisescale/charts";
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
  const widths = header.map((_, column) => Math.max(...[header, ...rows].map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => cell.padStart(widths[column] ?? 0))
      .join("  ")
      .trimEnd();
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
    line(header),
    ...rows.map(line),
    "",
    `In brackets: 95 % intervals, from ${[...basis].map((intervals) => (intervals === "seeds" ? "the seeds" : "the fit's residuals")).join(" or ")}. At the critical batch size both steps and ${unitWords[unit]} are twice the least.`,
    powerLaw.fitted
      ? `Over the targets: critical batch size = ${estimateText(powerLaw.criticalBatchSizeAtOne)} / loss^(1/${powerLaw.alpha.toPrecision(3)}), if the target is a loss.`
      : powerLaw.reason,
    ...notes,
    "",
  ].join("\n");
}

function range(low: number | undefined, high: number | undefined): string {
  if (low === undefined) return high === undefined ? "[not known]" : `[at most ${estimateText(high)}]`;
  return high === undefined ? `[at least ${estimateText(low)}]` : `[${estimateText(low)} to ${estimateText(high)}]`;
}
