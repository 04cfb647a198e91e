import { once } from "node:events";
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/**
 * What happens to a call: an answer of 503, or of 429 with `Retry-After`; a connection that is cut in the middle of the
 * request, or in the middle of the answer, when the tracker has taken it; one that takes a second.
 */
export type Fault = "refused-503" | "refused-429" | "request-cut" | "answer-cut" | "slow";

/** A fault that a call met, and when it was met [ms of the process]. */
export interface MetFault {
  readonly fault: Fault;
  readonly atMs: number;
}

/** `Retry-After` of a 429 [s]. */
export const retryAfterSeconds = 2;
const slowMs = 1000;

/** Stands before a tracker's server and lets its calls meet faults. */
export class FaultProxy {
  /** Of the next calls that are faulty, one each; the others go through. */
  readonly faults: Fault[] = [];
  readonly met: MetFault[] = [];
  /** When faulty calls came, those that went through too [ms of the process]. */
  readonly callsMs: number[] = [];
  readonly #target: string;
  readonly #isFaulty: (path: string) => boolean;
  #server: Server;
  #port = 0;

  private constructor(target: string, isFaulty: (path: string) => boolean) {
    this.#target = target;
    this.#isFaulty = isFaulty;
    this.#server = this.#make();
  }

  /** @param isFaulty - calls that meet the faults, by their path */
  static async start(target: string, isFaulty: (path: string) => boolean): Promise<FaultProxy> {
    const proxy = new FaultProxy(target, isFaulty);
    await proxy.up();
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Nothing listens any more: connections are refused. */
  async down(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }

  /** Listens again, at the same address. */
  async up(): Promise<void> {
    this.#server = this.#make();
    this.#server.listen(this.#port, "127.0.0.1");
    await once(this.#server, "listening");
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  #make(): Server {
    return createServer((incoming, answer) => {
      const faulty = this.#isFaulty(incoming.url ?? "/");
      const atMs = performance.now();
      if (faulty) this.callsMs.push(atMs);
      const fault = faulty ? this.faults.shift() : undefined;
      if (fault !== undefined) this.met.push({ fault, atMs });
      this.#meet(fault, incoming, answer);
    });
  }

  #meet(fault: Fault | undefined, incoming: IncomingMessage, answer: ServerResponse): void {
    switch (fault) {
      case "refused-503":
      case "refused-429":
        incoming.resume();
        if (fault === "refused-429") answer.setHeader("retry-after", retryAfterSeconds);
        answer.writeHead(fault === "refused-503" ? 503 : 429).end("try later");
        return;
      case "slow":
        setTimeout(() => this.#forward(fault, incoming, answer), slowMs);
        return;
      default:
        this.#forward(fault, incoming, answer);
    }
  }

  #forward(fault: Fault | undefined, incoming: IncomingMessage, answer: ServerResponse): void {
    const target = new URL(incoming.url ?? "/", this.#target);
    const headers = { ...incoming.headers, host: target.host };
    const forwarded = request(target, { method: incoming.method, headers }, (response) => {
      if (fault === "answer-cut") {
        // The tracker has taken the call; its caller sees the head of an answer and no end.
        answer.writeHead(200, { "content-type": "application/json", "content-length": "1000" });
        answer.write("{", () => answer.destroy());
        response.resume();
        return;
      }
      answer.writeHead(response.statusCode ?? 502, response.headers);
      response.pipe(answer);
    });
    forwarded.on("error", () => answer.destroy());
    if (fault !== "request-cut") {
      incoming.pipe(forwarded);
      return;
    }
    incoming.once("data", (part: Buffer) => {
      forwarded.write(part.subarray(0, part.length >> 1), () => {
        forwarded.destroy();
        incoming.destroy();
      });
    });
  }
}
