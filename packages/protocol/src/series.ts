import { z } from "zod";
import { alertRuleSchema, alertSchema, alertSeveritySchema } from "./alert.ts";
import { identifierSchema, unitSchema } from "./identifier.ts";

/** Names of the columns that `GET …/series?metrics=` answers; the panels and trackers use the same names. */
export const seriesMetricSchema = z.enum([
  "b_simple",
  "b_simple_low",
  "b_simple_high",
  "gradient_squared_norm",
  "covariance_trace",
  "critical_batch_size",
  "recommended_batch_size",
  "batch_size",
  "efficiency",
  "loss",
  "learning_rate",
  "b_noise",
  "b_noise_low",
  "b_noise_high",
  "b_preconditioned",
  "b_preconditioned_low",
  "b_preconditioned_high",
  "held_b_simple",
  "smoothed_loss",
]);
export type SeriesMetric = z.infer<typeof seriesMetricSchema>;

/** Answer to `GET …/series`: columns of one length. Reduced to at most about `points` rows; each bucket keeps its extremes. */
export const seriesSchema = z.strictObject({
  run: identifierSchema,
  unit: unitSchema,
  /** Rows before the reduction. */
  total: z.number().int().nonnegative(),
  step: z.array(z.number()),
  time_ms: z.array(z.number()),
  columns: z.partialRecord(seriesMetricSchema, z.array(z.number().nullable())),
});
export type Series = z.infer<typeof seriesSchema>;

/** One row of `GET /v1/runs`. */
export const runSummarySchema = z.strictObject({
  run: identifierSchema,
  project: identifierSchema,
  name: z.string().nullable(),
  group: identifierSchema.nullable(),
  unit: unitSchema,
  /**
   * `live` until `finished` or `failed` was reported; meanwhile `silent` while no measurement has come for longer than the run's
   * own pauses explain.
   */
  state: z.enum(["live", "silent", "finished", "failed"]),
  step: z.number().nullable(),
  time_ms: z.number().nullable(),
  measurements: z.number(),
  batch_size: z.number().nullable(),
  b_simple: z.number().nullable(),
  b_simple_low: z.number().nullable(),
  recommended_batch_size: z.number().nullable(),
  /** At most 64 values of b_simple, for a spark line. */
  spark: z.array(z.number().nullable()),
  /** Where the run is shown: tracker name, state of its queue, and a link if the tracker has one. */
  trackers: z.array(
    z.strictObject({
      name: identifierSchema,
      url: z.string().nullable(),
      /** `in_process`: the training process logs there itself, and the collector pushes nothing. */
      state: z.enum(["ok", "waiting", "retrying", "parked", "in_process"]),
      backlog: z.number(),
      message: z.string().nullable(),
    }),
  ),
  /** The gravest alert that lasts, of those of one severity the latest. */
  alert: z.strictObject({ rule: alertRuleSchema, severity: alertSeveritySchema, title: z.string() }).nullable(),
});
export type RunSummary = z.infer<typeof runSummarySchema>;
export const runListSchema = z.strictObject({ runs: z.array(runSummarySchema) });

/** Answer to `GET /v1/runs/{run}`: the summary, the declaration's tags, events and the full snapshot live in their own routes. */
export const runDetailSchema = runSummarySchema.extend({
  tags: z.record(z.string(), z.string()),
  /** Events by kind and code, with their summed counts and the last step. */
  events: z.array(
    z.strictObject({
      kind: z.string(),
      code: z.string(),
      count: z.number(),
      first_step: z.number(),
      last_step: z.number(),
    }),
  ),
  /** The latest 100, and those before them that are not over; oldest first. */
  alerts: z.array(alertSchema),
});
export type RunDetail = z.infer<typeof runDetailSchema>;
