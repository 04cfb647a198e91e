import { z } from "zod";

/** Name of a run, project or group in a URL and as a key of the store. */
export const identifierSchema = z
  .string()
  .regex(/^[A-Za-z0-9._-]{1,128}$/, "must be 1 to 128 characters of A-Z a-z 0-9 . _ -")
  .refine((id) => id !== "." && id !== "..", "must not be . or .. (it becomes a folder's name)");

/** What a batch size counts. */
export const unitSchema = z.enum(["example", "token", "timestep"]);
export type Unit = z.infer<typeof unitSchema>;
