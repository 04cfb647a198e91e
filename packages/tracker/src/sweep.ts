import type { PanelFile } from "./tracker.ts";

/** A run of the tracker, with its parameters as they were logged, and one metric. */
export interface MetricCurve {
  readonly id: string;
  readonly name: string;
  readonly params: ReadonlyMap<string, string>;
  /** In order of step, one value a step; empty where the run never logged the metric. */
  readonly values: readonly { readonly step: number; readonly value: number }[];
}

/** A frontier as it is shown in the tracker. */
export interface SweepReport {
  readonly name: string;
  /** Markdown. */
  readonly note: string;
  readonly metrics: readonly { readonly key: string; readonly value: number }[];
  readonly panels: readonly PanelFile[];
}

/** Runs that are in a tracker already, no hook needed: those of one experiment. */
export interface TrackerSweep {
  /** Every run but those that `show` made. @throws TrackerError where the experiment is not there or may not be read */
  curves(metric: string): AsyncIterable<MetricCurve>;
  /**
   * Shows a frontier as a run of the experiment, the same one for the same target.
   *
   * @param target - for example `loss<=0.3`
   * @returns the run's address
   */
  show(target: string, report: SweepReport): Promise<string>;
}
