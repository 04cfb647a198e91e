export { defaultCollectorPort } from "./address.ts";
export {
  type Alert,
  type AlertList,
  type AlertMessage,
  type AlertRule,
  type AlertSeverity,
  alertListSchema,
  alertMessageSchema,
  alertRuleSchema,
  alertSeveritySchema,
} from "./alert.ts";
export { type EventResult, eventBatchSchema, eventResultSchema, type RunEvent, runEventSchema } from "./event.ts";
export {
  type CalibrationAnswer,
  calibrationRequestSchema,
  calibrationSchema,
  type FittedFrontierAnswer,
  type FrontierTarget,
  type GroupFrontierAnswer,
  groupFrontierSchema,
  parseFrontierTarget,
  type RunFrontierAnswer,
  runFrontierSchema,
} from "./frontier.ts";
export { identifierSchema, type Unit, unitSchema } from "./identifier.ts";
export { toJsonSchema } from "./json-schema.ts";
export {
  type Measurement,
  type MeasurementInput,
  measurementBatchSchema,
  measurementSchema,
  type Rejection,
  rejectionSchema,
} from "./measurement.ts";
export { openApiDocument } from "./open-api.ts";
export { fieldErrors, type Problem, problemSchema } from "./problem.ts";
export {
  inProcessMode,
  type RunDeclaration,
  type RunDeclarationInput,
  runDeclarationSchema,
  type TrackerTarget,
} from "./run.ts";
export {
  type RunDetail,
  type RunSummary,
  runDetailSchema,
  runListSchema,
  type Series,
  type SeriesMetric,
  seriesMetricSchema,
  seriesSchema,
} from "./series.ts";
export {
  type BriefSnapshot,
  type IngestResult,
  ingestCountsSchema,
  ingestResultSchema,
  type Snapshot,
  snapshotSchema,
} from "./snapshot.ts";
