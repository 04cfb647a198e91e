import { problemSchema } from "@noisescale/protocol";
import { retryAfterMs } from "./backoff.ts";

/** What became of one request. */
export type Outcome =
  | { readonly kind: "done"; readonly body: unknown }
  /** Worth another attempt: no answer, too many requests, or the collector is in trouble. */
  | { readonly kind: "away"; readonly reason: string; readonly retryAfterMs: number | undefined }
  /** The collector understood and said no; the same request will be refused again. */
  | { readonly kind: "refused"; readonly status: number; readonly detail: string };

export interface CollectorRequest {
  readonly fetch: typeof fetch;
  readonly url: string;
  readonly method: "PUT" | "POST";
  readonly body: unknown;
  readonly timeoutMs: number;
}

const retryableStatuses = new Set([408, 425, 429]);

/** Sends JSON and sorts the answer. Never throws. */
export async function sendToCollector(request: CollectorRequest): Promise<Outcome> {
  try {
    const response = await request.fetch(request.url, {
      method: request.method,
      headers: { "content-type": "application/json", accept: "application/json, application/problem+json" },
      body: JSON.stringify(request.body),
      signal: AbortSignal.timeout(request.timeoutMs),
      redirect: "error",
    });
    const text = await response.text();
    if (response.ok) return { kind: "done", body: text === "" ? undefined : JSON.parse(text) };
    const detail = problemDetail(text, response);
    if (response.status >= 500 || retryableStatuses.has(response.status)) {
      return {
        kind: "away",
        reason: detail,
        retryAfterMs: retryAfterMs(response.headers.get("retry-after"), Date.now()),
      };
    }
    return { kind: "refused", status: response.status, detail };
  } catch (error) {
    return { kind: "away", reason: reasonOf(error), retryAfterMs: undefined };
  }
}

function problemDetail(text: string, response: Response): string {
  const summary = `${response.status} ${response.statusText}`.trim();
  try {
    const problem = problemSchema.safeParse(JSON.parse(text));
    if (!problem.success) return summary;
    const fields = (problem.data.errors ?? []).map((error) => `${error.path}: ${error.message}`).join("; ");
    return `${summary}: ${problem.data.detail}${fields === "" ? "" : ` (${fields})`}`;
  } catch {
    return summary;
  }
}

/** fetch hides the reason (connection refused, unknown host) in `cause`. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause;
  return cause instanceof Error && cause.message !== "" ? `${error.message}: ${cause.message}` : error.message;
}
