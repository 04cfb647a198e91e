import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import type { BriefSnapshot } from "@noisescale/protocol";

export interface Received {
  readonly method: string;
  readonly path: string;
  readonly body: { readonly measurements?: { step: number; attempt: number }[]; readonly [field: string]: unknown };
}

type Answer = (request: Received, response: ServerResponse) => void;

/** A real HTTP server that answers as it is told, and remembers what it was sent. */
export class ScriptedCollector {
  readonly received: Received[] = [];
  /** Answers in front of the usual ones: each is used once. */
  readonly script: Answer[] = [];
  readonly #waiting: { readonly when: () => boolean; readonly resolve: () => void }[] = [];
  readonly #server = createServer((request, response) => void this.#answer(request, response));
  #port = 0;

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Steps of all measurements in the order of arrival, answered with 200 or not. */
  get steps(): number[] {
    return this.received.flatMap((request) => (request.body.measurements ?? []).map((measurement) => measurement.step));
  }

  get paths(): string[] {
    return this.received.map((request) => `${request.method} ${request.path}`);
  }

  async listen(port = 0): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(port, "127.0.0.1", resolve));
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  /** Resolves when a request has made the condition true. */
  until(when: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      if (when()) resolve();
      else this.#waiting.push({ when, resolve });
    });
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const received: Received = {
      method: request.method ?? "",
      path: (request.url ?? "").replace("/v1/runs/", ""),
      body: JSON.parse(await text(request)),
    };
    this.received.push(received);
    (this.script.shift() ?? usual)(received, response);
    for (const waiting of this.#waiting.filter(({ when }) => when())) {
      this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
      waiting.resolve();
    }
  }
}

export function answer(status: number, body: unknown, headers: Record<string, string> = {}): Answer {
  return (_request, response) => {
    response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));
  };
}

/** A problem as the collector writes it. */
export function problem(status: number, detail: string, headers: Record<string, string> = {}): Answer {
  return answer(status, { type: "about:blank", title: "Problem", status, detail }, headers);
}

const usual: Answer = (request, response) => {
  const count = request.body.measurements?.length ?? 0;
  const last = request.body.measurements?.at(-1)?.step ?? null;
  if (request.path.endsWith("/measurements")) {
    answer(200, { accepted: count, duplicates: 0, rejected: [], snapshot: snapshotAt(last) })(request, response);
  } else if (request.path.endsWith("/events")) {
    answer(200, { accepted: 1, rejected: [] })(request, response);
  } else {
    answer(201, {})(request, response);
  }
};

export function snapshotAt(step: number | null): BriefSnapshot {
  return {
    run: "run-1",
    attempt: 0,
    step,
    time_ms: null,
    unit: "example",
    optimizer: null,
    measurements: 1,
    batch_size: 64,
    b_simple: null,
    b_simple_low: null,
    b_simple_high: null,
    confidence: 0.95,
    identifiable: false,
    gradient_squared_norm: null,
    covariance_trace: null,
    b_noise: null,
    b_noise_low: null,
    b_noise_high: null,
    b_preconditioned: null,
    b_preconditioned_low: null,
    b_preconditioned_high: null,
    dataset_units: null,
    efficiency: null,
    predicted: {
      min_steps: null,
      min_steps_low: null,
      min_steps_high: null,
      min_units: null,
      min_units_low: null,
      min_units_high: null,
      critical_batch_size: null,
      critical_batch_size_low: null,
      critical_batch_size_high: null,
      adaptive_gain: null,
      basis: "b_simple",
    },
    recommendation: {
      batch_size: null,
      batch_size_low: null,
      batch_size_high: null,
      basis: "b_simple",
      target: null,
      calibrated: false,
      critical_batch_size: null,
      critical_batch_size_low: null,
      critical_batch_size_high: null,
      learning_rate_factor: null,
      adam: null,
      latency_ratio: null,
      held_back: null,
      trade: [],
    },
    warnings: [],
  };
}
