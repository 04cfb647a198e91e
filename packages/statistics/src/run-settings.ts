/** What a run says of itself and of the batch sizes that it can use; all of it may be left out. */
export interface RunSettings {
  /** Units in a data set that is drawn without replacement. */
  readonly datasetUnits?: number | undefined;
  /** Recommended batch sizes are multiples of this. */
  readonly batchMultiple?: number | undefined;
  readonly batchMin?: number | undefined;
  readonly batchMax?: number | undefined;
  /** r: the cost of a step's latency over the cost of a unit [units]. */
  readonly latencyRatio?: number | undefined;
  readonly optimizer?: "sgd" | "adam" | "other" | undefined;
}

/** @throws RangeError where a setting is not positive or the limits cross */
export function requireRunSettings(settings: RunSettings): void {
  for (const name of ["datasetUnits", "batchMultiple", "batchMin", "batchMax", "latencyRatio"] as const) {
    const value = settings[name];
    if (value !== undefined && !(value > 0 && value < Number.POSITIVE_INFINITY)) {
      throw new RangeError(`${name} must be positive and finite, not ${value}`);
    }
  }
  const { batchMin, batchMax } = settings;
  if (batchMin !== undefined && batchMax !== undefined && batchMin > batchMax) {
    throw new RangeError(`batchMin ${batchMin} is above batchMax ${batchMax}`);
  }
}
