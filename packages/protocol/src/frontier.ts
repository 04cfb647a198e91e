import { z } from "zod";
import { identifierSchema, unitSchema } from "./identifier.ts";
import { longestEvaluationName } from "./measurement.ts";
import { predictedFrontierSchema } from "./snapshot.ts";

/** Unknown, or not set by the runs, is null. */
const known = z.number().nullable();

/** What runs are to reach: an evaluation by its name, and the value. */
export interface FrontierTarget {
  readonly name: string;
  readonly comparison: "<=" | ">=";
  readonly value: number;
  /** One spelling for each target. */
  readonly text: string;
}

/** `name<=value` for losses, `name>=value` for accuracies; undefined where the text is neither. */
export function parseFrontierTarget(text: string): FrontierTarget | undefined {
  // Cut at the last comparison by search: one expression over the whole text tries every way to divide its blanks.
  const at = Math.max(text.lastIndexOf("<="), text.lastIndexOf(">="));
  if (at < 0) return undefined;
  const comparison = text.startsWith("<=", at) ? "<=" : ">=";
  const name = text.slice(0, at).trim();
  const number = text.slice(at + 2).trim();
  const value = number === "" ? Number.NaN : Number(number);
  if (name === "" || name.length > longestEvaluationName || !Number.isFinite(value)) return undefined;
  return { name, comparison, value, text: `${name}${comparison}${value}` };
}

/** One batch size of a sweep, at the learning rate that was chosen for it. */
export const sweepPointSchema = z.strictObject({
  batch_size: z.number(),
  learning_rate: known,
  /** Steps of the runs that reached the target. */
  steps: z.array(z.number()),
  never_reached: z.number(),
  /** Over half of its runs never reached the target. */
  left_out: z.boolean(),
  /** The chosen learning rate is the smallest or largest of those tried. */
  at_edge: z.boolean(),
});

/** A frontier fitted to a sweep at one target, with 95 % intervals. */
export const fittedFrontierSchema = z.strictObject({
  target: z.number(),
  min_steps: z.number(),
  min_steps_low: known,
  min_steps_high: known,
  min_units: z.number(),
  min_units_low: known,
  min_units_high: known,
  critical_batch_size: z.number(),
  critical_batch_size_low: known,
  critical_batch_size_high: known,
  rms_log_residual: z.number(),
  /** Runs that the curve was fitted to. */
  runs: z.number(),
  /** Batch sizes at which runs never reached the target. */
  censored: z.array(
    z.strictObject({
      batch_size: z.number(),
      learning_rate: known,
      runs: z.number(),
      never_reached: z.number(),
      left_out: z.boolean(),
    }),
  ),
  /** What the intervals rest on: the seeds, or the fit's residuals. */
  intervals: z.enum(["seeds", "residuals"]),
  points: z.array(sweepPointSchema),
  warnings: z.array(z.string()),
});
export type FittedFrontierAnswer = z.infer<typeof fittedFrontierSchema>;

/** Answer to `GET` and `PUT` of `/v1/groups/{group}/frontier`. */
export const groupFrontierSchema = z.strictObject({
  project: identifierSchema,
  group: identifierSchema,
  unit: unitSchema,
  /** `name<=value` or `name>=value`. */
  target: z.string(),
  /** What was followed: evaluations of the target's name, or, where no run reports any, the smoothed training loss. */
  source: z.enum(["evaluation", "training_loss"]),
  frontier: fittedFrontierSchema,
  /** Smoothed training loss where the runs reached the target (median); null where they report none. */
  loss: known,
  /** What each run of the group gave. */
  runs: z.array(
    z.strictObject({
      run: identifierSchema,
      /** Mean units a step; null where they were not constant. */
      batch_size: known,
      /** The largest of the run, up to the target. */
      learning_rate: known,
      /** Null: never reached, or not known. */
      steps: known,
      used: z.boolean(),
      /** Why it was left out, or what to know of it. */
      remark: z.string().nullable(),
    }),
  ),
  warnings: z.array(z.string()),
  /** When it was fitted [Unix ms]. */
  time_ms: z.number(),
});
export type GroupFrontierAnswer = z.infer<typeof groupFrontierSchema>;

/** Body of `PUT /v1/projects/{project}/calibration`: the sweep that it is made from. */
export const calibrationRequestSchema = z.strictObject({ group: identifierSchema, target: z.string().max(256) });

/** B_crit/B_simple of a project: what turns B_simple into a critical batch size. */
export const calibrationSchema = z.strictObject({
  project: identifierSchema,
  group: identifierSchema,
  target: z.string(),
  ratio: z.number(),
  ratio_low: known,
  ratio_high: known,
  /** Of the sweep's fitted frontier [units]. */
  critical_batch_size: z.number(),
  critical_batch_size_low: known,
  critical_batch_size_high: known,
  /** Each run's own ratio: the factor on its B_simple that predicts the fitted critical batch size. */
  runs: z.array(z.strictObject({ run: identifierSchema, batch_size: z.number(), ratio: z.number() })),
  warnings: z.array(z.string()),
  /** When it was made [Unix ms]. */
  time_ms: z.number(),
});
export type CalibrationAnswer = z.infer<typeof calibrationSchema>;

/** Answer to `GET /v1/runs/{run}/frontier`. */
export const runFrontierSchema = z.strictObject({
  run: identifierSchema,
  unit: unitSchema,
  /** From this run alone. */
  predicted: predictedFrontierSchema,
  /** Frontiers of the run's group that were fitted so far. */
  fitted: z.array(groupFrontierSchema),
  /** Of the run's project. */
  calibration: calibrationSchema.nullable(),
});
export type RunFrontierAnswer = z.infer<typeof runFrontierSchema>;
