import { basisName, numberText, timesText } from "@noisescale/charts";
import type { Snapshot } from "@noisescale/protocol";
import { stepsFactor, unitsFactor } from "@noisescale/statistics";
import { summaryText } from "../summary-text.ts";
import type { TrainingResult } from "./train-in-thread.ts";
import { fixedOutcome, type TrainingPlan } from "./training-plan.ts";

/** What came out, for a person: accuracy, the noise scale, and what the current and the recommended batch size cost. */
export function demoSummary(snapshot: Snapshot, result: TrainingResult, plan: TrainingPlan): string {
  const { batch_size: current, recommendation } = snapshot;
  const { critical_batch_size: noiseScale } = recommendation;
  const lines = [
    "",
    `Test accuracy ${(100 * result.testAccuracy).toFixed(1)} % after ${result.steps} steps in ${result.trainingSeconds.toFixed(0)} s.`,
    ...(plan.follow === undefined ? [] : adaptiveLines(result, plan)),
    "",
    summaryText(snapshot),
  ];
  if (noiseScale !== null && current !== null) {
    const row = (name: string, batchSize: number): string =>
      `  ${name.padEnd(12)} ${numberText(batchSize).padStart(6)}   ${timesText(stepsFactor(batchSize, noiseScale)).padStart(6)} the least steps   ${timesText(unitsFactor(batchSize, noiseScale)).padStart(6)} the least examples`;
    lines.push(`What a batch size costs from here on, at ${basisName(recommendation)}:`, row("current", current));
    if (recommendation.batch_size !== null && recommendation.batch_size !== current) {
      lines.push(row("recommended", recommendation.batch_size));
    }
    lines.push("");
  }
  return lines.join("\n");
}

/** What following the recommendation needed, beside the demo at one batch size. */
function adaptiveLines({ changes, examples, reached, steps }: TrainingResult, plan: TrainingPlan): string[] {
  const needed = `${numberText(steps)} steps and ${numberText(examples)} examples`;
  const { accuracy, ...fixed } = fixedOutcome;
  const goal = `${(100 * accuracy).toFixed(1)} %`;
  return [
    reached
      ? `As accurate as the demo, ${goal}, after ${needed}.`
      : `Not as accurate as the demo, ${goal}, in ${needed}.`,
    `At ${plan.batchSize} throughout it takes ${numberText(fixed.steps)} steps and ${numberText(fixed.examples)} examples.`,
    `Batch size ${plan.batchSize} at rate ${plan.learningRate}, then`,
    ...changes.map(
      ({ step, batchSize, learningRate }) => `  from step ${step}: ${batchSize} at rate ${learningRate.toPrecision(3)}`,
    ),
  ];
}
