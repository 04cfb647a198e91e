/** Ends of an interval; −∞ and ∞ where the data set none. */
export interface LogInterval {
  readonly low: number;
  readonly high: number;
}

/** Intervals of ln S_min, ln E_min and ln B_crit. */
export interface FrontierIntervals {
  readonly logMinSteps: LogInterval;
  readonly logMinUnits: LogInterval;
  readonly logCriticalBatchSize: LogInterval;
}
