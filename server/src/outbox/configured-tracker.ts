import type { Tracker } from "@noisescale/tracker";

export interface ConfiguredTracker {
  readonly tracker: Tracker;
  /** Projects whose runs may use it; undefined: all. */
  readonly projects: ReadonlySet<string> | undefined;
}

/** By the name that a training job says. */
export type ConfiguredTrackers = ReadonlyMap<string, ConfiguredTracker>;
