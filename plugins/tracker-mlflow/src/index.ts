export type { MlflowConnection } from "./client.ts";
export { type MlflowConfig, mlflowTracker } from "./mlflow-tracker.ts";
