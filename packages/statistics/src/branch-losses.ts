/** Training on from one checkpoint at one batch size. */
export interface BranchRun {
  /** [units] */
  readonly batchSize: number;
  /** Runs of one seed saw the same examples in the same order; they are compared in pairs. */
  readonly seed?: string | undefined;
  /** Mean loss of the batch after so many optimizer steps since the checkpoint; not finite where the training diverged. */
  readonly losses: readonly { readonly step: number; readonly loss: number }[];
}

/** A mean with the variance of its error and the degrees of freedom behind that. */
export interface MeanLoss {
  readonly mean: number;
  /** Undefined where too few losses lie in the window. */
  readonly variance: number | undefined;
  readonly degrees: number;
  /** How many losses it is the mean of. */
  readonly count: number;
}

/** Units that a run had been trained on when its last loss was taken. */
export function unitsOf({ batchSize, losses }: BranchRun): number {
  return losses.reduce((last, { step }) => Math.max(last, step), 0) * batchSize;
}

/** True where a loss is not finite: the training has no state that could be compared. */
export function diverged({ losses }: BranchRun): boolean {
  return losses.some(({ loss }) => !Number.isFinite(loss));
}

/**
 * Loss over the last part of a run, up to the same number of units for every batch size: the straight line through the
 * losses in the window, at its middle. So it lags by as many units everywhere, where an average over steps would lag more
 * the larger the batch is, and does not depend on where the steps fall in the window.
 *
 * The error is that of the line with independent errors: s²·(1/n + d²/S), with n − 2 degrees of freedom, d from the mean
 * place of the losses to the middle, and S the sum of squares of their places.
 *
 * @param end - [units] since the checkpoint
 * @param window - share of `end`
 * @returns undefined where no loss lies in the window
 */
export function meanLossAt({ batchSize, losses }: BranchRun, end: number, window: number): MeanLoss | undefined {
  const inWindow = losses
    .map(({ step, loss }) => ({ at: step * batchSize, loss }))
    .filter(({ at }) => at > end * (1 - window) && at <= end);
  const count = inWindow.length;
  if (count === 0) return undefined;
  const average = inWindow.reduce((sum, { loss }) => sum + loss, 0) / count;
  if (count < 3) return { mean: average, variance: undefined, degrees: 0, count };
  const place = inWindow.reduce((sum, { at }) => sum + at, 0) / count;
  let [squares, products, spread] = [0, 0, 0];
  for (const { at, loss } of inWindow) {
    squares += (loss - average) ** 2;
    products += (at - place) * (loss - average);
    spread += (at - place) ** 2;
  }
  const toMiddle = end * (1 - window / 2) - place;
  // Rounding may leave a negative rest where the losses lie on the line.
  const rest = Math.max(0, squares - products ** 2 / spread);
  return {
    mean: average + (toMiddle * products) / spread,
    variance: (rest / (count - 2)) * (1 / count + toMiddle ** 2 / spread),
    degrees: count - 2,
    count,
  };
}
