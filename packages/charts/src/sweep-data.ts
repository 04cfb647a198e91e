import type { FittedFrontier, NoPowerLaw, PowerLaw } from "@noisescale/statistics";
import type { Unit } from "./panel-data.ts";

/** A frontier that was fitted to a sweep at one target. */
export interface SweepTarget extends FittedFrontier {
  readonly target: number;
}

/** A sweep over batch sizes as its panels show it. */
export interface SweepData {
  /** Free text; drawn and written as text only. */
  readonly name: string;
  readonly unit: Unit;
  readonly targets: readonly SweepTarget[];
  readonly powerLaw: PowerLaw | NoPowerLaw;
}

type Known = number | null;

/** A fitted frontier as the collector answers it. Not set by the runs is null. */
export interface FrontierNumbers {
  readonly target: number;
  readonly min_steps: number;
  readonly min_steps_low: Known;
  readonly min_steps_high: Known;
  readonly min_units: number;
  readonly min_units_low: Known;
  readonly min_units_high: Known;
  readonly critical_batch_size: number;
  readonly critical_batch_size_low: Known;
  readonly critical_batch_size_high: Known;
  readonly rms_log_residual: number;
  readonly runs: number;
  readonly intervals: "seeds" | "residuals";
  readonly points: readonly {
    readonly batch_size: number;
    readonly learning_rate: Known;
    readonly steps: readonly number[];
    readonly never_reached: number;
    readonly left_out: boolean;
    readonly at_edge: boolean;
  }[];
  readonly warnings: readonly string[];
}

export function sweepTarget(numbers: FrontierNumbers): SweepTarget {
  return {
    fitted: true,
    target: numbers.target,
    minSteps: numbers.min_steps,
    minStepsLow: numbers.min_steps_low ?? undefined,
    minStepsHigh: numbers.min_steps_high ?? undefined,
    minUnits: numbers.min_units,
    minUnitsLow: numbers.min_units_low ?? undefined,
    minUnitsHigh: numbers.min_units_high ?? undefined,
    criticalBatchSize: numbers.critical_batch_size,
    criticalBatchSizeLow: numbers.critical_batch_size_low ?? undefined,
    criticalBatchSizeHigh: numbers.critical_batch_size_high ?? undefined,
    rmsLogResidual: numbers.rms_log_residual,
    runs: numbers.runs,
    intervals: numbers.intervals,
    points: numbers.points.map((point) => ({
      batchSize: point.batch_size,
      learningRate: point.learning_rate ?? undefined,
      steps: point.steps,
      neverReached: point.never_reached,
      leftOut: point.left_out,
      atEdge: point.at_edge,
    })),
    warnings: numbers.warnings,
  };
}
