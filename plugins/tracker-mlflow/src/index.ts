export type { MlflowConnection } from "./client.ts";
export { type MlflowConfig, mlflowTracker } from "./mlflow-tracker.ts";
export { type MetricCurve, MlflowSweep, type SweepReport } from "./sweep.ts";
