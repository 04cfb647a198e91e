export { adaptiveBatchSize, type ScheduleCost, scheduleCost } from "./adaptive-schedule.ts";
export {
  BatchSizeDecision,
  type BatchSizeDecisionSettings,
  type BatchSizeRange,
  type BatchSizeVerdict,
  type RecommendedRange,
} from "./batch-size-decision.ts";
export {
  type BranchCheck,
  type BranchCheckOptions,
  type BranchOfCheck,
  type BranchVerdict,
  checkBranches,
  type NoBranchCheck,
} from "./branch-check.ts";
export type { BranchRun } from "./branch-losses.ts";
export { type BranchPlan, type BranchPlanInput, type PlannedBranch, planBranches } from "./branch-plan.ts";
export { type Calibration, type CalibrationRun, calibrate, type NoCalibration } from "./calibration.ts";
export { confidence } from "./confidence.ts";
export { efficiency, stepsFactor, type TradeRow, tradeTable, unitsFactor } from "./critical-batch-size.ts";
export { type FiellerSet, fiellerSet, type RatioMoments } from "./fieller.ts";
export { SignalFilter, type SignalQuantiles } from "./filter.ts";
export type { FilterInput } from "./filter-input.ts";
export { type CrossingTarget, FirstCrossing } from "./first-crossing.ts";
export type { FormNoiseScale } from "./form-scale.ts";
export { type FittedFrontier, fitFrontier, type UnfittedFrontier } from "./frontier-fit.ts";
export { criticalBatchSizePowerLaw, type NoPowerLaw, type PowerLaw } from "./frontier-power-law.ts";
export type { SweepPoint, SweepRun } from "./frontier-sweep.ts";
export { Horizon } from "./horizon.ts";
export { type LayerEstimate, LayerScales, type LayerSquaredNorms, layerHorizon } from "./layer-scales.ts";
export { type AdamFactors, adamFactors, adamLearningRateFactor, sgdLearningRateFactor } from "./learning-rate.ts";
export type { CalibrationRatio, GroupFrontier, MeasuredFrontiers } from "./measured-frontiers.ts";
export type { NoiseScale } from "./noise-scale.ts";
export {
  type LossMeasurement,
  type LossPoint,
  lossPoints,
  type NoiseScalePowerLaw,
  noiseScalePowerLaw,
} from "./noise-scale-power-law.ts";
export { noiseScaleOfSet } from "./noise-scale-set.ts";
export { covarianceTraceOf, gradientSquaredNormOf, type SquaredNormPair, withoutReplacement } from "./one-step.ts";
export {
  type FrontierBasis,
  FrontierPrediction,
  type InverseNoiseScale,
  type PredictedFrontier,
} from "./predicted-frontier.ts";
export { heldNoiseScale, type Recommendation, recommendation, recommendedBatchSize } from "./recommendation.ts";
export {
  type CriticalBatchSize,
  type RecommendationBasis,
  type RunEvidence,
  recommendationBasis,
} from "./recommendation-basis.ts";
export {
  type HorizonEstimate,
  horizonLengths,
  type Observation,
  type RunEstimate,
  RunEstimator,
  type RunPoint,
} from "./run-estimator.ts";
export type { RunSettings } from "./run-settings.ts";
export { defaultWatchSettings, type RunChange, RunWatch, type WatchSettings } from "./run-watch.ts";
export { type SettingChange, settingChanges, type TrainingSettings } from "./setting-change.ts";
export type { NoiseScaleInterval } from "./signal-loss.ts";
export { SmoothedLoss } from "./smoothed-loss.ts";
export { StateVersionError } from "./state-bytes.ts";
export {
  formEstimates,
  type QuadraticFormKind,
  type QuadraticFormPair,
  type StepEstimates,
  stepEstimates,
} from "./step-estimates.ts";
export { studentTQuantile } from "./student-t.ts";
export { temperature } from "./temperature.ts";
