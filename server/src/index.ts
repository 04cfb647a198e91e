export { type Collector, type CollectorOptions, startCollector } from "./collector.ts";
export { type CollectorConfigInput, ConfigError, configFileName } from "./config.ts";
export type { ConfiguredTracker, ConfiguredTrackers } from "./outbox/configured-tracker.ts";
export { type SnapshotContext, toBriefSnapshot, toSnapshot } from "./snapshot.ts";
export type { EventTotal } from "./warnings.ts";
