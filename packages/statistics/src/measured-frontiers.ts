/** B_crit/B_simple of a project, from a sweep. An end is undefined where the sweep sets none. */
export interface CalibrationRatio {
  readonly ratio: number;
  readonly ratioLow: number | undefined;
  readonly ratioHigh: number | undefined;
}

/** A frontier that was fitted to the runs of a group at one target. */
export interface GroupFrontier {
  /** As it was asked for, such as `validation_loss<=0.3`. */
  readonly target: string;
  /** Smoothed training loss of the group's runs where they reached the target. */
  readonly loss: number;
  /** [units] */
  readonly criticalBatchSize: number;
  readonly criticalBatchSizeLow: number | undefined;
  readonly criticalBatchSizeHigh: number | undefined;
}

/** What sweeps say of a run's project and group: known from outside of the run, and no part of its state. */
export interface MeasuredFrontiers {
  readonly calibration?: CalibrationRatio | undefined;
  readonly frontiers?: readonly GroupFrontier[] | undefined;
}

/** A target is near while the loss is within this factor of the loss at which the sweep's runs reached it. */
const nearFactor = 1.25;

/**
 * The fitted frontier that holds at a loss: the nearest in log loss, within a quarter.
 *
 * @param loss - smoothed training loss of the run
 */
export function nearFrontier(frontiers: readonly GroupFrontier[], loss: number): GroupFrontier | undefined {
  const distance = (frontier: GroupFrontier): number => Math.abs(Math.log(frontier.loss / loss));
  let nearest: GroupFrontier | undefined;
  for (const frontier of frontiers) {
    // Not comparable where either is not positive: the distance is then no number.
    if (!(distance(frontier) <= Math.log(nearFactor))) continue;
    if (nearest === undefined || distance(frontier) < distance(nearest)) nearest = frontier;
  }
  return nearest;
}
