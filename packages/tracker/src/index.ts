export { alertMarkdown } from "./alert-markdown.ts";
export { checkDelivery } from "./delivery-rules.ts";
export { type FailurePoint, MemoryRun, MemoryTracker } from "./memory-tracker.ts";
export { isMetricKey, layerMetricKeys, metricKey, metricKeys } from "./metric-key.ts";
export type { MetricCurve, SweepReport, TrackerSweep } from "./sweep.ts";
export type {
  Delivery,
  PanelFile,
  Point,
  RunContext,
  Tracker,
  TrackerAlert,
  TrackerCapabilities,
  TrackerRun,
} from "./tracker.ts";
export { TrackerError } from "./tracker-error.ts";
export { retryAfterSeconds, type TrackerRequest, TrackerServer, type TrackerServerOptions } from "./tracker-server.ts";
