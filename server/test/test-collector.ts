import type { Snapshot } from "@noisescale/protocol";
import { MemoryTracker } from "@noisescale/tracker";
import { onTestFinished } from "vitest";
import { type Collector, type CollectorOptions, startCollector } from "../src/index.ts";
import { silentLogger } from "./silent-logger.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The body as JSON, of whatever shape the test knows it to have. */
  json<T = Record<string, unknown>>(): T;
}

export interface TestCollector {
  readonly collector: Collector;
  readonly tracker: MemoryTracker;
  readonly dataDirectory: string;
  request(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>;
  send(path: string, body: string | Buffer, contentType: string): Promise<Answer>;
  snapshot(run: string): Promise<Snapshot>;
}

/** A real collector on a free port with a tracker in memory, gone after the test. */
export async function startTestCollector(options: Partial<CollectorOptions> = {}): Promise<TestCollector> {
  const dataDirectory = options.dataDirectory ?? temporaryDirectory();
  const tracker = new MemoryTracker({ pushEverySeconds: 1, panels: [] });
  const collector = await startCollector({
    port: 0,
    config: {},
    logger: silentLogger,
    trackers: new Map([["memory", { tracker, projects: undefined }]]),
    ...options,
    dataDirectory,
  });
  onTestFinished(() => collector.close());
  const call = async (path: string, init: RequestInit): Promise<Answer> => {
    const response = await fetch(`${collector.url}${path}`, init);
    const text = await response.text();
    return { status: response.status, headers: response.headers, text, json: () => JSON.parse(text) };
  };
  return {
    collector,
    tracker,
    dataDirectory,
    request: (method, path, body, headers = {}) =>
      call(path, {
        method,
        headers: { ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      }),
    send: (path, body, contentType) =>
      call(path, { method: "POST", body: body as BodyInit, headers: { "content-type": contentType } }),
    snapshot: async (run) => (await call(`/v1/runs/${run}/snapshot`, {})).json<Snapshot>(),
  };
}
