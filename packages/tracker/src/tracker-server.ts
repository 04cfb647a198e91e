import { TrackerError } from "./tracker-error.ts";

/** Longest part of a server's own words that is repeated [characters]. */
const longestQuote = 300;

/** What a plugin says of the server that it talks to. */
export interface TrackerServerOptions {
  /** Name of the plugin, first word of every message. */
  readonly kind: string;
  /** Name of the server in words that a person knows, for example `MLflow`. */
  readonly product: string;
  /** `http(s)://host[:port][/prefix]`; credentials and query in it are left out. */
  readonly address: string;
  /** Field of the collector's configuration that holds the address. */
  readonly addressField: string;
  /** Sent with every request: credentials above all. */
  readonly headers?: Readonly<Record<string, string>>;
  /**
   * What the person who runs the collector can do about a refusal.
   *
   * @param words - the server's own, cleaned, or empty
   * @param challenge - its `WWW-Authenticate` header, or empty
   * @returns a sentence; undefined for the general one
   */
  advice(status: number, words: string, challenge: string): string | undefined;
}

/** A request of a plugin, and which answers it wants. */
export interface TrackerRequest extends RequestInit {
  /** Time limit of the request [s]. */
  readonly withinSeconds: number;
  /** Statuses beside 2xx that the plugin reads itself. */
  readonly accepted?: readonly number[];
}

/**
 * The server of a tracker: requests whose failures are TrackerErrors in words for the person who runs the collector, with
 * no credentials in them.
 */
export class TrackerServer {
  /** Address without credentials, without a query, and without a slash at its end. */
  readonly address: string;
  readonly #options: TrackerServerOptions;
  readonly #closed = new AbortController();
  /** Each of them cuts the requests under way. */
  #cuts: readonly AbortSignal[] = [this.#closed.signal];

  /** @throws RangeError where the address is none */
  constructor(options: TrackerServerOptions) {
    const url = URL.parse(options.address);
    if (url === null || !["http:", "https:"].includes(url.protocol)) {
      throw new RangeError(
        `${options.kind}: ${options.addressField} must be the http(s) address of a server of ${options.product}, not ` +
          JSON.stringify(options.address),
      );
    }
    this.address = `${url.origin}${url.pathname}`.replace(/\/+$/, "");
    this.#options = options;
  }

  /** The same server, for one call of the collector: its requests are cut by the signal too. */
  cutBy(signal: AbortSignal | undefined): TrackerServer {
    if (signal === undefined) return this;
    const server = new TrackerServer(this.#options);
    server.#cuts = [...this.#cuts, signal];
    return server;
  }

  /** Cuts requests that are under way. */
  close(): void {
    this.#closed.abort(new Error("the tracker was closed"));
  }

  /**
   * @param what - completes "refused to …" and "when we wanted to …"
   * @param path - below the address; an address of its own where the server named one (an upload)
   * @returns an answer that is 2xx, or of the accepted ones
   * @throws TrackerError
   */
  async request(what: string, path: string, request: TrackerRequest): Promise<Response> {
    const { withinSeconds, accepted = [], ...init } = request;
    const elsewhere = /^https?:\/\//.test(path);
    const headers = new Headers(init.headers);
    // Credentials are for the configured server; an address that it hands out carries its own.
    for (const [name, value] of elsewhere ? [] : Object.entries(this.#options.headers ?? {})) headers.set(name, value);
    const signal = AbortSignal.any([...this.#cuts, AbortSignal.timeout(withinSeconds * 1000)]);
    let response: Response;
    try {
      // A redirect would carry the run's numbers, and with the same origin the credentials, to where nobody configured.
      response = await fetch(elsewhere ? path : `${this.address}/${path}`, {
        ...init,
        headers,
        signal,
        redirect: "manual",
      });
    } catch (error) {
      throw this.noAnswer(what, error);
    }
    if (!response.ok && !accepted.includes(response.status)) throw await this.refusal(what, response);
    return response;
  }

  /**
   * The text of an answer, to its end: an answer that is cut on the way is none, whatever its head said.
   *
   * @throws TrackerError
   */
  async text(what: string, response: Response): Promise<string> {
    return response.text().catch((error: unknown) => {
      throw this.noAnswer(what, error);
    });
  }

  /**
   * The JSON of an answer.
   *
   * @throws TrackerError; where it is no JSON, the address is probably not the server's
   */
  async json(what: string, response: Response): Promise<unknown> {
    const text = await this.text(what, response);
    try {
      return JSON.parse(text);
    } catch (error) {
      throw this.notTheServer(error as SyntaxError);
    }
  }

  /** A request that got no answer: a network that is down, a server that starts, a time limit. Worth another try. */
  noAnswer(what: string, error: unknown): TrackerError {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    const reason = cause instanceof Error ? cause.message : String(cause);
    const { kind } = this.#options;
    return new TrackerError(
      `${kind}: ${this.address} did not answer when we wanted to ${what}: ${reason}. Is it running?`,
      { retryable: true, cause: error },
    );
  }

  /** An answer that is not the wanted one; 408, 429 and 5xx are worth another try. */
  async refusal(what: string, response: Response): Promise<TrackerError> {
    const { status } = response;
    const words = cleaned(await response.text().catch(() => ""), secretsIn(this.#options.headers));
    const retryable = status === 408 || status === 429 || status >= 500;
    const quote = words === "" ? "" : `: ${words}`;
    const challenge = response.headers.get("www-authenticate") ?? "";
    const advice = this.#options.advice(status, words, challenge) ?? generalAdvice(this.#options, status);
    return new TrackerError(
      `${this.#options.kind}: ${this.address} refused to ${what} (HTTP ${status}${quote}). ${advice}`,
      {
        retryable,
        ...(retryable ? { retryAfterSeconds: retryAfterSeconds(response.headers.get("retry-after")) } : {}),
      },
    );
  }

  /** An answer that another program gave. */
  notTheServer(cause: Error): TrackerError {
    const { kind, product, addressField } = this.#options;
    return new TrackerError(
      `${kind}: ${this.address} answers, but not as ${product} does. Is ${addressField} right, and no login page in front of it?`,
      { retryable: false, cause },
    );
  }
}

/** `Retry-After`: seconds, or a date (RFC 9110, 10.2.3). @returns [s]; undefined where it is neither */
export function retryAfterSeconds(header: string | null, nowMs: number = Date.now()): number | undefined {
  if (header === null) return undefined;
  if (/^\d+$/.test(header.trim())) return Number(header);
  const dateMs = Date.parse(header);
  return Number.isNaN(dateMs) ? undefined : Math.max(0, Math.ceil((dateMs - nowMs) / 1000));
}

function generalAdvice({ product, addressField }: TrackerServerOptions, status: number): string {
  if (status === 401 || status === 403) {
    return "Check the credentials of this tracker in the collector's configuration, and what they may do.";
  }
  if (status === 404) return `Does the run exist, and is ${addressField} the address of ${product}?`;
  if (status >= 300 && status < 400) {
    return `It redirects, and credentials are not sent on: put the final address into ${addressField}, or, where that is a login page, give credentials that it asks nobody for.`;
  }
  if (status === 413) return `A proxy before ${product} limits the size of uploads; raise its limit.`;
  if (status === 429 || status >= 500) return "It will be tried again.";
  return "The delivery was not taken.";
}

/** Credentials in headers, whole, and without the name of a scheme before them. A word of a password is none. */
function secretsIn(headers: Readonly<Record<string, string>> = {}): string[] {
  const { "user-agent": _, ...others } = headers;
  return Object.values(others)
    .map((value) => value.replace(/^(Basic|Bearer) /, ""))
    .filter((value) => value !== "");
}

/** A server's own words, on one line. */
function cleaned(body: string, secrets: readonly string[]): string {
  // A proxy may echo the request: its credentials belong in no log and on no page.
  const words = secrets
    .reduce((text, secret) => text.replaceAll(secret, "…"), messageOf(body))
    .replaceAll(/\b(Basic|Bearer)\s+\S+/gi, "$1 …")
    .replaceAll(/[\s\p{Cc}\p{Cf}]+/gu, " ")
    .trim();
  if (words.startsWith("<")) return "";
  return words.length > longestQuote ? `${words.slice(0, longestQuote)}…` : words;
}

/** Errors are `{"message"}`, `{"error"}` or `{"errors": [{"message"}]}` mostly; anything else is a proxy's own words. */
function messageOf(body: string): string {
  try {
    const parsed: unknown = JSON.parse(body);
    if (typeof parsed !== "object" || parsed === null) return body;
    if ("errors" in parsed && Array.isArray(parsed.errors)) return messageOf(JSON.stringify(parsed.errors[0]) ?? "");
    if ("message" in parsed) return String(parsed.message);
    if ("error" in parsed && typeof parsed.error === "string") return parsed.error;
  } catch {
    // Not JSON.
  }
  return body;
}
