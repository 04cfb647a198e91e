import { z } from "zod";
import { rejectionSchema } from "./measurement.ts";
import { timeMsSchema } from "./time.ts";

/** What a hook reports beside measurements: what it left out, and why; and how the run ended. */
export const runEventSchema = z.strictObject({
  step: z.number().int().nonnegative(),
  time_ms: timeMsSchema,
  kind: z.enum(["dropped", "warning", "unavailable", "finished", "failed"]),
  /** Stable short name, for example `batch-norm`, `batch-too-small`, `not-finite`. */
  code: z.string().regex(/^[a-z0-9-]{1,64}$/, "must be 1 to 64 characters of a-z 0-9 -"),
  count: z.number().int().positive().max(1e9).optional(),
});
export type RunEvent = z.infer<typeof runEventSchema>;

/** Body of `POST …/events`. */
export const eventBatchSchema = z.strictObject({
  attempt: z.number().int().nonnegative().default(0),
  events: z.array(z.unknown()).max(1000),
});

/** Answer to `POST …/events`. */
export const eventResultSchema = z.strictObject({ accepted: z.number(), rejected: z.array(rejectionSchema) });
export type EventResult = z.infer<typeof eventResultSchema>;
