import { z } from "zod";

/**
 * A JSON object whose keys are free text (layer, tag and evaluation names), read into a Map: a plain object would let the
 * name `__proto__` reach a prototype, and zod's own record drops that name.
 */
export function namedValues<Value extends z.ZodType>(
  value: Value,
  limits: { readonly maxNames: number; readonly maxNameLength: number },
) {
  return z.preprocess(
    (input) =>
      typeof input === "object" && input !== null && !Array.isArray(input) ? new Map(Object.entries(input)) : input,
    z
      .map(z.string().min(1).max(limits.maxNameLength), value, "must be an object of names and values")
      .refine((names) => names.size <= limits.maxNames, `must hold at most ${limits.maxNames} names`),
  );
}
