import type { BriefSnapshot, Snapshot, Unit } from "@noisescale/protocol";
import { confidence, type NoiseScale, type RunEstimate } from "@noisescale/statistics";
import { type EventTotal, warnings } from "./warnings.ts";

/** What a snapshot says beside the estimate. */
export interface SnapshotContext {
  readonly run: string;
  readonly unit: Unit;
  readonly attempt: number;
  /** Time of the last measurement [Unix ms]; null before the first. */
  readonly timeMs: number | null;
  /** Units in a data set that is drawn without replacement; undefined where the run states none. */
  readonly datasetUnits?: number | undefined;
  readonly events?: readonly EventTotal[];
}

const known = (value: number | undefined): number | null => value ?? null;

function interval({ bSimple, bSimpleLow, bSimpleHigh }: NoiseScale) {
  return { b_simple: known(bSimple), b_simple_low: known(bSimpleLow), b_simple_high: known(bSimpleHigh) };
}

function moments({ gradientSquaredNorm, covarianceTrace }: NoiseScale) {
  return { gradient_squared_norm: known(gradientSquaredNorm), covariance_trace: known(covarianceTrace) };
}

/** The estimate as the wire has it, without layers and horizons. */
export function toBriefSnapshot(estimate: RunEstimate, context: SnapshotContext): BriefSnapshot {
  const { predicted, recommendation, bNoise, bPreconditioned } = estimate;
  return {
    run: context.run,
    attempt: context.attempt,
    step: known(estimate.step),
    time_ms: context.timeMs,
    unit: context.unit,
    optimizer: estimate.optimizer ?? null,
    measurements: estimate.measurements,
    batch_size: known(estimate.batchSize),
    ...interval(estimate),
    confidence,
    identifiable: estimate.identifiable,
    ...moments(estimate),
    b_noise: known(bNoise.value),
    b_noise_low: known(bNoise.low),
    b_noise_high: known(bNoise.high),
    b_preconditioned: known(bPreconditioned.value),
    b_preconditioned_low: known(bPreconditioned.low),
    b_preconditioned_high: known(bPreconditioned.high),
    dataset_units: context.datasetUnits ?? null,
    efficiency: known(estimate.efficiency),
    predicted: {
      min_steps: known(predicted.minSteps),
      min_steps_low: known(predicted.minStepsLow),
      min_steps_high: known(predicted.minStepsHigh),
      min_units: known(predicted.minUnits),
      min_units_low: known(predicted.minUnitsLow),
      min_units_high: known(predicted.minUnitsHigh),
      critical_batch_size: known(predicted.criticalBatchSize),
      critical_batch_size_low: known(predicted.criticalBatchSizeLow),
      critical_batch_size_high: known(predicted.criticalBatchSizeHigh),
      adaptive_gain: known(predicted.adaptiveGain),
      basis: predicted.basis,
    },
    recommendation: {
      batch_size: known(recommendation.batchSize),
      batch_size_low: known(recommendation.batchSizeLow),
      batch_size_high: known(recommendation.batchSizeHigh),
      basis: recommendation.basis,
      target: recommendation.target ?? null,
      calibrated: recommendation.calibrated,
      critical_batch_size: known(recommendation.criticalBatchSize),
      critical_batch_size_low: known(recommendation.criticalBatchSizeLow),
      critical_batch_size_high: known(recommendation.criticalBatchSizeHigh),
      latency_ratio: known(recommendation.latencyRatio),
      learning_rate_factor: known(recommendation.learningRateFactor),
      adam:
        recommendation.adam === undefined
          ? null
          : {
              one_minus_beta_factor: recommendation.adam.oneMinusBetaFactor,
              epsilon_factor: recommendation.adam.epsilonFactor,
            },
      held_back: recommendation.heldBack ?? null,
      trade: recommendation.trade.map(({ batchSize, role, stepsFactor, unitsFactor }) => ({
        batch_size: batchSize,
        role,
        steps_factor: stepsFactor,
        units_factor: unitsFactor,
      })),
    },
    warnings: warnings(estimate, context.unit, context.events ?? []),
  };
}

/** The whole estimate as the wire has it. */
export function toSnapshot(estimate: RunEstimate, context: SnapshotContext): Snapshot {
  return {
    ...toBriefSnapshot(estimate, context),
    horizons: estimate.horizons.map((horizon) => ({
      horizon: horizon.horizon,
      ...interval(horizon),
      identifiable: horizon.identifiable,
      ...moments(horizon),
      effective_measurements: horizon.effectiveMeasurements,
    })),
    // fromEntries defines own properties, so that a layer named __proto__ is one among the others.
    layers: Object.fromEntries(
      [...estimate.layers].map(([name, layer]) => [
        name,
        {
          ...interval(layer),
          identifiable: layer.identifiable,
          ...moments(layer),
          covariance_trace_share: known(layer.covarianceTraceShare),
        },
      ]),
    ),
  };
}
