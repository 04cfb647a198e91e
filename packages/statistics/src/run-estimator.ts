/** One optimizer step as the estimators read it: two squared norms and what the step consumed. */
export interface Observation {
  /** Optimizer step, ≥ 0; each later than the one before. */
  readonly step: number;
  readonly small: {
    /** Batch size of a part [units]. */
    readonly batchSize: number;
    /** Mean over the parts of |gradient|² [gradient²]. */
    readonly meanSquaredNorm: number;
  };
  readonly big: { readonly batchSize: number; readonly squaredNorm: number };
  /** Units that this step consumed; the real batch size. */
  readonly units: number;
  readonly learningRate?: number;
  readonly layers?: ReadonlyMap<string, readonly [smallMeanSquaredNorm: number, bigSquaredNorm: number]>;
}

/** A noise scale with its confidence set. Not identifiable: value and high undefined, low set (or undefined: nothing known). */
export interface NoiseScale {
  readonly bSimple: number | undefined;
  readonly bSimpleLow: number | undefined;
  readonly bSimpleHigh: number | undefined;
  readonly identifiable: boolean;
  /** Wholly below 0: a wrong reading or dependent parts. */
  readonly invalid: boolean;
  readonly gradientSquaredNorm: number | undefined;
  readonly covarianceTrace: number | undefined;
}
