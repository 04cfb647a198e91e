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
