/** A noise scale with its confidence set. Unknown is undefined. */
export interface NoiseScale {
  /** tr Σ/|G|² [units]; undefined where |G|² may be 0. */
  readonly bSimple: number | undefined;
  readonly bSimpleLow: number | undefined;
  /** Undefined where the set is unbounded. */
  readonly bSimpleHigh: number | undefined;
  /** The confidence set of |G|² lies above 0. */
  readonly identifiable: boolean;
  /** The confidence set of |G|² or of tr Σ lies wholly below 0: a wrong reading, or parts that are not independent. */
  readonly invalid: boolean;
  /** |G|² [gradient²]. */
  readonly gradientSquaredNorm: number | undefined;
  /** tr Σ per unit [gradient²·units]. */
  readonly covarianceTrace: number | undefined;
}

/** Nothing is known yet. */
export const unknownNoiseScale: NoiseScale = {
  bSimple: undefined,
  bSimpleLow: undefined,
  bSimpleHigh: undefined,
  identifiable: false,
  invalid: false,
  gradientSquaredNorm: undefined,
  covarianceTrace: undefined,
};
