import { z } from "zod";
import { identifierSchema } from "./identifier.ts";

/** What a run is watched for. */
export const alertRuleSchema = z.enum([
  "batch-too-large",
  "batch-too-small",
  "signal-lost",
  "noise-scale-jumped",
  "learning-rate-changed",
  "batch-size-changed",
  "measurements-stopped",
  "not-finite",
]);
export type AlertRule = z.infer<typeof alertRuleSchema>;

/** From what is good to know to what needs a person. */
export const alertSeveritySchema = z.enum(["info", "warning", "error"]);
export type AlertSeverity = z.infer<typeof alertSeveritySchema>;

export const alertSchema = z.strictObject({
  /** Place in the collector's history: what `after` counts by. */
  number: z.number().int().positive(),
  /** Of this alert alone, in every delivery of it. */
  id: z.string(),
  run: identifierSchema,
  project: identifierSchema,
  /** Free text. */
  name: z.string().nullable(),
  rule: alertRuleSchema,
  severity: alertSeveritySchema,
  /** False: shown here alone, as information. */
  sent: z.boolean(),
  title: z.string(),
  text: z.string(),
  attempt: z.number(),
  step: z.number(),
  time_ms: z.number(),
  /** Null while it lasts; the same step as `step` where it was a thing of one moment. */
  ended_step: z.number().nullable(),
  ended_time_ms: z.number().nullable(),
});
export type Alert = z.infer<typeof alertSchema>;

/** Answer to `GET /v1/alerts`: each list oldest first. */
export const alertListSchema = z.strictObject({
  alerts: z.array(alertSchema),
  /** Raised before those and not over, the latest 1000; none where the query has `after`. */
  lasting: z.array(alertSchema),
  /** Where alerts are sent to, by the names of the configuration, and how that goes. */
  webhooks: z.array(
    z.strictObject({
      name: identifierSchema,
      state: z.enum(["ok", "waiting", "retrying", "refused"]),
      backlog: z.number(),
      message: z.string().nullable(),
    }),
  ),
});
export type AlertList = z.infer<typeof alertListSchema>;

/** Body of a webhook. */
export const alertMessageSchema = z.strictObject({
  type: z.literal("alert"),
  /** The run's page; null where the collector does not know its own address. */
  link: z.string().nullable(),
  alert: alertSchema.omit({ number: true, sent: true, ended_step: true, ended_time_ms: true }),
});
export type AlertMessage = z.infer<typeof alertMessageSchema>;
