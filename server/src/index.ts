export { effectiveSegments } from "./attempts.ts";
export { type Collector, type CollectorOptions, startCollector } from "./collector.ts";
export {
  type CollectorConfigInput,
  ConfigError,
  configFileName,
  readConfigFile,
  type TrackerConfigInput,
} from "./config.ts";
export { toWireFrontier } from "./frontier/wire-frontier.ts";
export { checkRecords } from "./ingest-check.ts";
export type { ConfiguredTracker, ConfiguredTrackers } from "./outbox/configured-tracker.ts";
export { type RunMeasurement, toObservation, toWireMeasurement } from "./run-measurement.ts";
export { toRunSettings } from "./run-settings.ts";
export { type SnapshotContext, toBriefSnapshot, toSnapshot } from "./snapshot.ts";
export { SqliteStore } from "./store/sqlite-store.ts";
export type { AttemptStart, RunRow, Store } from "./store/store.ts";
export type { EventTotal } from "./warnings.ts";
