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
