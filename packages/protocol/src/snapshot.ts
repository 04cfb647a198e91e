import { z } from "zod";
import { identifierSchema, unitSchema } from "./identifier.ts";
import { rejectionSchema } from "./measurement.ts";

/** Unknown is null, never NaN and never a guess. */
const known = z.number().nullable();

/** A noise scale with its confidence set; not identifiable: the value and the upper bound are null, the lower is set. */
const interval = { b_simple: known, b_simple_low: known, b_simple_high: known };
const moments = { gradient_squared_norm: known, covariance_trace: known };

export const horizonSnapshotSchema = z.strictObject({
  /** Effective number of measurements in the exponentially weighted mean. */
  horizon: z.number(),
  ...interval,
  identifiable: z.boolean(),
  ...moments,
  effective_measurements: z.number(),
});

export const layerSnapshotSchema = z.strictObject({
  ...interval,
  identifiable: z.boolean(),
  ...moments,
  /** This layer's part of the layers' summed tr Σ. */
  covariance_trace_share: known,
});

/** Frontier predicted from this run alone: averages over the run, with pointwise outer bounds. */
export const predictedFrontierSchema = z.strictObject({
  min_steps: known,
  min_steps_low: known,
  min_steps_high: known,
  min_units: known,
  min_units_low: known,
  min_units_high: known,
  critical_batch_size: known,
  critical_batch_size_low: known,
  critical_batch_size_high: known,
  /** γ of an adaptive schedule: (S/S_min − 1)(E/E_min − 1) = γ ≤ 1, in place of 1 at one fixed batch size. */
  adaptive_gain: known,
  /** The noise scale that the sums over the run are made of. */
  basis: z.enum(["b_noise", "b_simple"]),
});

/** What one batch size costs: multiples of the least steps and of the least units. */
export const tradeRowSchema = z.strictObject({
  batch_size: z.number(),
  /** Which question the row answers. */
  role: z.enum(["current", "recommended", "neighbour"]),
  /** 1 + B_crit/B. */
  steps_factor: z.number(),
  /** 1 + B/B_crit. */
  units_factor: z.number(),
});

export const recommendationSchema = z.strictObject({
  batch_size: known,
  batch_size_low: known,
  batch_size_high: known,
  /** A frontier fitted to the run's group near the current loss; B_noise now; B_simple now × the project's calibration; B_simple now. */
  basis: z.enum(["frontier", "b_noise", "b_simple_calibrated", "b_simple"]),
  /** Target of the fitted frontier, where that is the basis. */
  target: z.string().nullable(),
  /** A measured frontier stands behind the basis. False: a noise scale alone, which is an indicator. */
  calibrated: z.boolean(),
  /** 𝓑 of the basis as it is now [units]; the batch size follows it with a hysteresis. */
  critical_batch_size: known,
  critical_batch_size_low: known,
  critical_batch_size_high: known,
  /** r: a step's latency over a unit's cost [units], as the run declares it. */
  latency_ratio: known,
  learning_rate_factor: known,
  /** What goes with an Adam-like optimizer's learning rate (Malladi et al. 2022); null where the factor is, or for others. */
  adam: z
    .strictObject({
      /** On 1 − β of both moments. */
      one_minus_beta_factor: z.number(),
      /** On ε, which is added to the root of the second moment. */
      epsilon_factor: z.number(),
    })
    .nullable(),
  /** Why the batch size stands as it stood: the learning rate over the batch size is being changed. */
  held_back: z.enum(["learning_rate"]).nullable(),
  trade: z.array(tradeRowSchema),
});

export const warningSchema = z.strictObject({ code: z.string(), message: z.string() });

/** Answer to a POST: the snapshot without `layers` and `horizons`. */
export const briefSnapshotSchema = z.strictObject({
  run: identifierSchema,
  attempt: z.number(),
  /** Null before the first measurement. */
  step: known,
  time_ms: known,
  unit: unitSchema,
  /** As the run declares it; decides what the temperature is. */
  optimizer: z.enum(["sgd", "adam", "other"]).nullable(),
  measurements: z.number(),
  batch_size: known,
  ...interval,
  /** Probability that the interval holds the current value. */
  confidence: z.number(),
  identifiable: z.boolean(),
  ...moments,
  /** tr(HΣ)/(GᵀHG); known where the hook measures `hessian` and the confidence sets of both parts lie above 0. */
  b_noise: known,
  b_noise_low: known,
  b_noise_high: known,
  /** tr(PΣ)/(GᵀPG): the noise scale in the optimizer's metric; known where the hook measures `preconditioned`. */
  b_preconditioned: known,
  b_preconditioned_low: known,
  b_preconditioned_high: known,
  /** Units of the data set whose own gradient is meant by the signal; null: that of all data there might be. */
  dataset_units: known,
  /** Useful share of the compute, 1/(1 + B/𝓑) with the recommendation's 𝓑. */
  efficiency: known,
  predicted: predictedFrontierSchema,
  recommendation: recommendationSchema,
  warnings: z.array(warningSchema),
});
export type BriefSnapshot = z.infer<typeof briefSnapshotSchema>;

export const snapshotSchema = briefSnapshotSchema.extend({
  horizons: z.array(horizonSnapshotSchema),
  layers: z.record(z.string(), layerSnapshotSchema),
});
export type Snapshot = z.infer<typeof snapshotSchema>;

const ingestCounts = { accepted: z.number(), duplicates: z.number(), rejected: z.array(rejectionSchema) };

/** What a sender must understand of the answer, also from a collector of a later version whose snapshot says more. */
export const ingestCountsSchema = z.object(ingestCounts);

/** Answer to `POST …/measurements`. */
export const ingestResultSchema = z.strictObject({
  ...ingestCounts,
  snapshot: z.union([snapshotSchema, briefSnapshotSchema]),
});
export type IngestResult = z.infer<typeof ingestResultSchema>;
