import { TrackerError } from "@noisescale/tracker";

/** Longest part of a server's own words that is repeated [characters]. */
const longestQuote = 300;

/** A call that got no answer: a network that is down, a server that starts, a time limit. Worth another try. */
export function noAnswer(what: string, server: string, error: unknown): TrackerError {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new TrackerError(`mlflow: ${server} did not answer when we wanted to ${what}: ${reason}. Is it running?`, {
    retryable: true,
    cause: error,
  });
}

/** An answer that is not the wanted one, in words for the person who runs the collector. */
export async function refusedAnswer(what: string, server: string, response: Response): Promise<TrackerError> {
  const { status } = response;
  const words = quoted(await response.text().catch(() => ""));
  const retryable = status === 408 || status === 429 || status >= 500;
  return new TrackerError(`mlflow: ${server} refused to ${what} (HTTP ${status}${words}). ${advice(status, words)}`, {
    retryable,
    ...(retryable ? { retryAfterSeconds: retryAfterSeconds(response.headers.get("retry-after")) } : {}),
  });
}

/** `Retry-After`: seconds, or a date (RFC 9110, 10.2.3). */
export function retryAfterSeconds(header: string | null, nowMs: number = Date.now()): number | undefined {
  if (header === null) return undefined;
  if (/^\d+$/.test(header.trim())) return Number(header);
  const dateMs = Date.parse(header);
  return Number.isNaN(dateMs) ? undefined : Math.max(0, Math.ceil((dateMs - nowMs) / 1000));
}

function quoted(body: string): string {
  // A proxy may echo the request: its credentials belong in no log and on no page.
  const words = messageOf(body)
    .replaceAll(/\b(Basic|Bearer)\s+\S+/gi, "$1 …")
    .replaceAll(/[\s\p{Cc}\p{Cf}]+/gu, " ")
    .trim();
  if (words === "" || words.startsWith("<")) return "";
  return `: ${words.length > longestQuote ? `${words.slice(0, longestQuote)}…` : words}`;
}

/** MLflow's own errors are `{"error_code", "message"}`. */
function messageOf(body: string): string {
  try {
    const parsed: unknown = JSON.parse(body);
    if (typeof parsed === "object" && parsed !== null && "message" in parsed) return String(parsed.message);
  } catch {
    // Not JSON: a proxy's own words.
  }
  return body;
}

function advice(status: number, words: string): string {
  if (status === 403 && words.includes("Invalid Host header")) {
    return "Its list of hosts lacks the name in the collector's tracking_uri: start MLflow with --allowed-hosts or MLFLOW_SERVER_ALLOWED_HOSTS naming it.";
  }
  if (status === 401) {
    return "Check username and password, or token, of this tracker in the collector's configuration.";
  }
  if (status === 403) {
    return "The account in the collector's configuration lacks the permission: give it EDIT on the experiment.";
  }
  if (status === 404) return "Does the run exist, and is tracking_uri the address of an MLflow server?";
  if (status >= 300 && status < 400) {
    return "It redirects, and credentials are not sent on: put the final address into tracking_uri.";
  }
  if (status === 413) return "A proxy before MLflow limits the size of uploads; raise its limit.";
  if (status === 429 || status >= 500) return "It will be tried again.";
  return "The delivery was not taken.";
}
