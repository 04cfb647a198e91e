import type { ServerResponse } from "node:http";

/** Shortest time between two updates of a run [ms]. */
const updateEveryMs = 500;
const heartbeatEveryMs = 15_000;

/** What a page is sent of a run; undefined once the run is gone. */
export interface LiveUpdate {
  readonly state: unknown;
  readonly snapshot: unknown;
}

interface RunListeners {
  readonly responses: Set<ServerResponse>;
  timer: NodeJS.Timeout | undefined;
  sentMs: number;
}

/** Server-sent events: `state` and `snapshot` of a run to every page that looks at it, at a bounded rate. */
export class LiveUpdates {
  readonly #read: (run: string) => Promise<LiveUpdate | undefined>;
  readonly #limit: number;
  readonly #runs = new Map<string, RunListeners>();
  readonly #heartbeat: NodeJS.Timeout;
  #open = 0;

  /** @param limit - connections at most */
  constructor(read: (run: string) => Promise<LiveUpdate | undefined>, limit: number) {
    this.#read = read;
    this.#limit = limit;
    this.#heartbeat = setInterval(() => this.#each((response) => response.write(": alive\n\n")), heartbeatEveryMs);
    this.#heartbeat.unref();
  }

  get connections(): number {
    return this.#open;
  }

  /** Runs that a page looks at. */
  get watched(): readonly string[] {
    return [...this.#runs.keys()];
  }

  get full(): boolean {
    return this.#open >= this.#limit;
  }

  /** Sends the current state at once and what follows until the page goes away. */
  async connect(run: string, response: ServerResponse): Promise<void> {
    response.writeHead(200, {
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-store",
      "x-accel-buffering": "no",
    });
    response.write("retry: 2000\n\n");
    let listeners = this.#runs.get(run);
    if (listeners === undefined) {
      listeners = { responses: new Set(), timer: undefined, sentMs: 0 };
      this.#runs.set(run, listeners);
    }
    const { responses } = listeners;
    responses.add(response);
    this.#open += 1;
    response.once("close", () => {
      responses.delete(response);
      this.#open -= 1;
      if (responses.size === 0 && this.#runs.get(run) === listeners) {
        clearTimeout(listeners.timer);
        this.#runs.delete(run);
      }
    });
    const update = await this.#read(run);
    if (update !== undefined) write(response, update);
  }

  /** Something of the run has changed. */
  changed(run: string): void {
    const listeners = this.#runs.get(run);
    if (listeners === undefined || listeners.timer !== undefined) return;
    const wait = Math.max(0, listeners.sentMs + updateEveryMs - Date.now());
    listeners.timer = setTimeout(() => void this.#send(run, listeners), wait);
  }

  /** The run is gone: its pages are told and let go. */
  deleted(run: string): void {
    for (const response of this.#runs.get(run)?.responses ?? []) {
      response.end("event: deleted\ndata: {}\n\n");
    }
  }

  close(): void {
    clearInterval(this.#heartbeat);
    for (const { timer } of this.#runs.values()) clearTimeout(timer);
    this.#each((response) => response.end());
  }

  async #send(run: string, listeners: RunListeners): Promise<void> {
    listeners.timer = undefined;
    listeners.sentMs = Date.now();
    try {
      const update = await this.#read(run);
      if (update === undefined) return;
      for (const response of listeners.responses) write(response, update);
    } catch {
      // The store is going away; the page connects again and asks anew.
      for (const response of listeners.responses) response.end();
    }
  }

  #each(act: (response: ServerResponse) => void): void {
    for (const { responses } of this.#runs.values()) for (const response of responses) act(response);
  }
}

function write(response: ServerResponse, { state, snapshot }: LiveUpdate): void {
  // A page that does not read gets the next update, not a queue of them.
  if (response.writableNeedDrain) return;
  response.write(
    `event: state\ndata: ${JSON.stringify(state)}\n\nevent: snapshot\ndata: ${JSON.stringify(snapshot)}\n\n`,
  );
}
