import type { RunDeclaration } from "@noisescale/protocol";
import type { RunSettings } from "@noisescale/statistics";

/** What the estimators take from a run's declaration. */
export function toRunSettings(declaration: RunDeclaration): RunSettings {
  return {
    datasetUnits: declaration.dataset_units,
    batchMultiple: declaration.batch_multiple,
    batchMin: declaration.batch_min,
    batchMax: declaration.batch_max,
    latencyRatio: declaration.latency_ratio,
    optimizer: declaration.optimizer,
  };
}

/** True where two declarations make other estimates from the same measurements. */
export function changesEstimates(one: RunDeclaration, other: RunDeclaration): boolean {
  return JSON.stringify(toRunSettings(one)) !== JSON.stringify(toRunSettings(other));
}
