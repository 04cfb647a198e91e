import { problemSchema } from "@noisescale/protocol";
import { type CommandArguments, CommandError, textOption, UsageError } from "./command.ts";

const timeoutMs = 120_000;

/** Address in `--collector`, without a slash at its end. */
export function collectorOption(arguments_: CommandArguments): string | undefined {
  const collector = textOption(arguments_, "collector");
  if (collector !== undefined && !URL.canParse(collector)) {
    throw new UsageError(
      `--collector must be an address such as http://127.0.0.1:7677, not ${JSON.stringify(collector)}`,
    );
  }
  return collector?.replace(/\/+$/, "");
}

export interface CollectorAnswer {
  readonly status: number;
  readonly body: unknown;
  readonly text: string;
}

/** @throws CommandError where no collector answers */
export async function askCollector(collector: string, path: string, init: RequestInit = {}): Promise<CollectorAnswer> {
  let response: Response;
  let text: string;
  try {
    response = await fetch(collector + path, { ...init, redirect: "error", signal: AbortSignal.timeout(timeoutMs) });
    text = await response.text();
  } catch (error) {
    const { cause, message } = error as Error;
    const why = cause instanceof Error && cause.message !== "" ? cause.message : message;
    throw new CommandError(`No collector answers at ${collector} (${why}): start one with noisescale serve.`);
  }
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    body = undefined;
  }
  return { status: response.status, body, text };
}

/** @throws CommandError where the answer has another form */
export function parsedAnswer<Answer>(
  schema: { safeParse(value: unknown): { readonly success: boolean; readonly data?: Answer } },
  body: unknown,
  collector: string,
): Answer {
  const { data } = schema.safeParse(body);
  if (data === undefined) throw new CommandError(`${collector} answers as another version of noisescale does.`);
  return data;
}

/** A problem in words, with the fields at fault. */
export function problemText(body: unknown, text: string): string {
  const problem = problemSchema.safeParse(body);
  if (!problem.success) return text.slice(0, 200);
  const { detail, errors = [] } = problem.data;
  return [detail, ...errors.map(({ path, message }) => `\n  ${path} ${message}`)].join("");
}
