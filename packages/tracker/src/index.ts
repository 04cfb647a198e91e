export type { Delivery, PanelFile, Point, RunContext, Tracker, TrackerCapabilities, TrackerRun } from "./tracker.ts";
export { TrackerError } from "./tracker-error.ts";
