/** One step's estimates, as the filter reads them. */
export interface FilterInput {
  /** Estimate of tr Σ, of either sign [gradient²·units]. */
  readonly covarianceTrace: number;
  /** Estimate of |G|², of either sign [gradient²]. */
  readonly gradientSquaredNorm: number;
  /** B [units]. */
  readonly batchSize: number;
  /** K = B/b. */
  readonly parts: number;
  /** Optimizer steps since the measurement before. */
  readonly steps: number;
}
