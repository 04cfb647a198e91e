import { Worker } from "node:worker_threads";
import type { PanelData, PanelName } from "@noisescale/charts";
import type { PanelFile } from "@noisescale/tracker";

export interface PanelRequest {
  readonly id: number;
  readonly panel: PanelName;
  readonly data: PanelData;
  readonly contentType: PanelFile["contentType"];
  /** Of a picture. */
  readonly pixelRatio: number;
}

export type PanelAnswer =
  | { readonly id: number; readonly bytes: Uint8Array }
  | { readonly id: number; readonly error: string };

interface Waiting {
  resolve(bytes: Uint8Array): void;
  reject(error: Error): void;
}

/** Panels as files, drawn in a thread that is started when the first one is asked for. */
export class PanelRenderer {
  #thread: Worker | undefined;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 0;

  /** @throws Error where the panel cannot be drawn */
  draw(
    panel: PanelName,
    data: PanelData,
    contentType: PanelFile["contentType"],
    pixelRatio: number = 2,
  ): Promise<Uint8Array> {
    this.#thread ??= this.#start();
    const thread = this.#thread;
    const id = this.#nextId;
    this.#nextId += 1;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      const request: PanelRequest = { id, panel, data, contentType, pixelRatio };
      thread.postMessage(request);
    });
  }

  async close(): Promise<void> {
    await this.#thread?.terminate();
  }

  #start(): Worker {
    // Development runs the sources, an installed package what was built from them.
    const fromSource = import.meta.url.endsWith(".ts");
    const thread = new Worker(new URL(fromSource ? "./panel-thread.ts" : "./panel-thread.js", import.meta.url), {
      execArgv: fromSource ? ["--conditions=@noisescale/source"] : [],
    });
    thread.unref();
    thread.on("message", (answer: PanelAnswer) => {
      const waiting = this.#waiting.get(answer.id);
      this.#waiting.delete(answer.id);
      if ("bytes" in answer) waiting?.resolve(answer.bytes);
      else waiting?.reject(new Error(answer.error));
    });
    thread.on("error", (error) => this.#failed(thread, error instanceof Error ? error : new Error(String(error))));
    thread.on("exit", () => this.#failed(thread, new Error("the thread that draws panels has ended")));
    return thread;
  }

  /** What was asked of a thread that is gone is not drawn; the next request starts another. */
  #failed(thread: Worker, error: Error): void {
    if (this.#thread !== thread) return;
    this.#thread = undefined;
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}
