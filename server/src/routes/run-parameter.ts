import { identifierSchema } from "@noisescale/protocol";
import { notUnderstood, ProblemError, UnknownRunError } from "../problem.ts";
import type { RunRow, Store } from "../store/store.ts";

/** The run's name in the address. @throws ProblemError where it is none */
export function runName(parameter: unknown): string {
  const parsed = identifierSchema.safeParse(parameter);
  if (parsed.success) return parsed.data;
  throw notUnderstood([{ path: "run", message: parsed.error.issues[0]?.message ?? "is no name" }], "The address");
}

/** @throws UnknownRunError */
export async function knownRun(store: Store, parameter: unknown): Promise<RunRow> {
  const name = runName(parameter);
  const run = await store.findRun(name);
  if (run === undefined) throw new UnknownRunError(name);
  return run;
}

/** A whole number of the query. @throws ProblemError where it is none, or out of its range */
export function wholeNumber(
  query: unknown,
  name: string,
  range: { readonly least: number; readonly most: number; readonly otherwise: number },
): number {
  if (query === undefined) return range.otherwise;
  const value = typeof query === "string" && /^\d{1,16}$/.test(query) ? Number(query) : Number.NaN;
  if (value >= range.least && value <= range.most) return value;
  throw new ProblemError(400, "Not understood", `${name} must be a whole number from ${range.least} to ${range.most}`, [
    { path: name, message: `must be a whole number from ${range.least} to ${range.most}` },
  ]);
}
