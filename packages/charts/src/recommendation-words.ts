import { estimateText, numberText } from "./number-text.ts";
import { type PanelSnapshot, unitWords } from "./panel-data.ts";

/** The noise scale that a prediction is made of. */
export function noiseScaleName(basis: PanelSnapshot["predicted"]["basis"]): string {
  return basis === "b_noise" ? "B_noise" : "B_simple";
}

/** Where the optimizer's second moments weigh the noise. */
export function metricName({ optimizer }: Pick<PanelSnapshot, "optimizer">): string {
  return optimizer === "adam" ? "Adam's metric" : "the optimizer's metric";
}

/** What the recommendation's critical batch size is, in a few words. */
export function basisName({ basis, target }: PanelSnapshot["recommendation"]): string {
  if (basis === "frontier") return `the sweep to ${target}`;
  if (basis === "b_noise") return "B_noise now";
  if (basis === "b_simple_calibrated") return "B_simple now, calibrated";
  return "B_simple now";
}

/** Beside the recommended batch size in a table. */
export function basisRemark({ basis, target }: PanelSnapshot["recommendation"]): string {
  if (basis === "frontier") return `from the sweep to ${target}`;
  if (basis === "b_noise") return "from B_noise";
  return basis === "b_simple_calibrated" ? "calibrated" : "uncalibrated";
}

/** What the recommendation rests on and how sure that is, as sentences. */
export function basisWords(snapshot: PanelSnapshot, criticalBatchSize: number): string {
  const units = unitWords[snapshot.unit];
  const { basis, target, critical_batch_size_low: low, critical_batch_size_high: high } = snapshot.recommendation;
  const interval =
    low === null || high === null ? "" : ` (95 % between ${estimateText(low)} and ${estimateText(high)})`;
  const value = `${estimateText(criticalBatchSize)} ${units}${interval}`;
  if (basis === "frontier") {
    return `This rests on a sweep of this run's group: to reach ${target}, near this run's loss, the critical batch size was ${value}.`;
  }
  if (basis === "b_noise") {
    return `This rests on B_noise now, ${value}. It weighs the noise by the curvature; no sweep of this project says yet how it compares with the batch size that costs the least.`;
  }
  if (basis === "b_simple_calibrated") {
    const own = snapshot.b_simple === null ? "" : `, ${estimateText(snapshot.b_simple)},`;
    return `This rests on B_simple now${own} times what a sweep of this project measured: a critical batch size of ${value}.`;
  }
  return `This rests on B_simple now, ${value}. It is an indicator: no sweep of this project says yet how B_simple compares with the batch size that costs the least.`;
}

/** Which gradient is meant, where it is that of one data set. */
export function dataSetWords({ dataset_units: datasetUnits, unit }: PanelSnapshot): string {
  if (datasetUnits === null) return "";
  return ` The signal is the gradient of the data set's own ${numberText(datasetUnits)} ${unitWords[unit]}, drawn without replacement.`;
}
