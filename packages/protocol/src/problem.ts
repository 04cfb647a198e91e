import { z } from "zod";

/** RFC 9457 `application/problem+json`. */
export const problemSchema = z.strictObject({
  type: z.string(),
  title: z.string(),
  status: z.number().int(),
  /** What happened to what, and what to do. */
  detail: z.string(),
  /** Fields at fault, where there are any. */
  errors: z.array(z.strictObject({ path: z.string(), message: z.string() })).optional(),
});
export type Problem = z.infer<typeof problemSchema>;

/** Fields at fault of a failed parse, each with a dotted path and a sentence. */
export function fieldErrors(error: z.ZodError): { path: string; message: string }[] {
  return error.issues.flatMap((issue) => {
    const path = issue.path.map(String);
    if (issue.code === "unrecognized_keys") {
      return issue.keys.map((key) => ({ path: [...path, key].join("."), message: "unknown field" }));
    }
    return [{ path: path.join("."), message: typeProblem(issue) ?? issue.message }];
  });
}

/** A value of another type, in the words of the sender: zod says "expected number, received undefined". */
function typeProblem(issue: z.core.$ZodIssue): string | undefined {
  if (issue.code !== "invalid_type") return undefined;
  const received = /received (\S+)$/.exec(issue.message)?.[1];
  if (received === undefined) return undefined;
  const expected = withArticle(issue.expected);
  if (received === "undefined") return `is missing: it must be ${expected}`;
  return `must be ${expected}, not ${/^[a-z]/.test(received) && received !== "null" ? withArticle(received) : received}`;
}

function withArticle(type: string): string {
  if (type === "int") return "a whole number";
  return `${/^[aeiou]/.test(type) ? "an" : "a"} ${type}`;
}
