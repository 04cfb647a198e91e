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
    return [{ path: path.join("."), message: inWords(issue) ?? issue.message }];
  });
}

/** What is wrong in words of the sender, where zod's are those of a type checker; undefined where they are the schema's own. */
function inWords(issue: z.core.$ZodIssue): string | undefined {
  switch (issue.code) {
    case "invalid_type":
      return typeProblem(issue);
    case "invalid_value":
      return `must be one of ${issue.values.map(String).join(", ")}`;
    case "too_small":
      return /^Too small/.test(issue.message)
        ? `must ${limit(issue.origin, issue.inclusive === true ? "at least" : "more than", issue.minimum)}`
        : undefined;
    case "too_big":
      return /^Too big/.test(issue.message)
        ? `must ${limit(issue.origin, issue.inclusive === true ? "at most" : "less than", issue.maximum)}`
        : undefined;
    default:
      return undefined;
  }
}

function limit(origin: string, bound: string, value: number | bigint): string {
  if (origin === "string") return `have ${bound} ${value} ${value === 1 ? "character" : "characters"}`;
  if (origin === "array" || origin === "set" || origin === "map") return `hold ${bound} ${value} entries`;
  return `be ${bound} ${value}`;
}

/** A value of another type: zod says "expected number, received undefined". */
function typeProblem(issue: z.core.$ZodIssueInvalidType): string | undefined {
  const received = /received (\S+)$/.exec(issue.message)?.[1];
  if (received === undefined) return undefined;
  const expected = withArticle(issue.expected);
  if (received === "undefined") return `is missing: it must be ${expected}`;
  // Of a fraction zod says no more than that it is a number.
  if (issue.expected === "int" && received === "number") return `must be ${expected}`;
  return `must be ${expected}, not ${/^[a-z]/.test(received) && received !== "null" ? withArticle(received) : received}`;
}

function withArticle(type: string): string {
  if (type === "int") return "a whole number";
  if (type === "record") return "an object";
  return `${/^[aeiou]/.test(type) ? "an" : "a"} ${type}`;
}
