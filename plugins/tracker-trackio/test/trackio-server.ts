import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../../../test/tools/free-port.ts";
import { PythonProcess } from "../../../test/tools/python-process.ts";

const script = new URL("trackio_client.py", import.meta.url);
/** Nothing of the tests asks the Hugging Face hub for anything. */
const offline = { HF_HUB_OFFLINE: "1" };

/** A run as trackio lists it. */
export interface ListedTrackioRun {
  readonly id: string;
  readonly name: string;
}

/** An alert as trackio keeps it. */
export interface ReadTrackioAlert {
  readonly title: string;
  readonly text: string;
  readonly level: string;
  readonly step: number;
  readonly timestamp: string;
}

/** A run as trackio gives it to its dashboard. */
export interface ReadTrackioRun {
  /** Rows in the order of their arrival, each with its `step` and `timestamp`. */
  readonly logs: readonly Readonly<Record<string, unknown>>[];
  /** Bytes by key, base64. */
  readonly files: Readonly<Record<string, string>>;
}

/** The dashboard and server of trackio, with its files in a temporary folder. */
export class TrackioServer {
  readonly url: string;
  readonly writeToken: string;
  readonly #process: PythonProcess;
  readonly #folder: string;

  private constructor(url: string, writeToken: string, process: PythonProcess, folder: string) {
    this.url = url;
    this.writeToken = writeToken;
    this.#process = process;
    this.#folder = folder;
  }

  static async start(): Promise<TrackioServer> {
    const folder = await mkdtemp(join(tmpdir(), "noisescale-trackio-"));
    const writeToken = "the-write-token";
    const process = new PythonProcess(script, {
      ...offline,
      TRACKIO_DIR: join(folder, "server"),
      TRACKIO_WRITE_TOKEN: writeToken,
    });
    const port = await freePort();
    const server = new TrackioServer(`http://127.0.0.1:${port}`, writeToken, process, folder);
    try {
      await process.ask("serve", port);
    } catch (error) {
      await server.stop();
      throw error;
    }
    return server;
  }

  async runs(project: string): Promise<readonly ListedTrackioRun[]> {
    return (await this.#process.ask("runs", project)) as readonly ListedTrackioRun[];
  }
  /** Of all projects. */
  async countRuns(): Promise<number> {
    return (await this.#process.ask("count_runs")) as number;
  }
  async read(project: string, runId: string): Promise<ReadTrackioRun> {
    return (await this.#process.ask("read_run", project, runId)) as ReadTrackioRun;
  }
  /** Of the runs of that name, the newest first. */
  async alerts(project: string, name: string): Promise<readonly ReadTrackioAlert[]> {
    return (await this.#process.ask("alerts", project, name)) as readonly ReadTrackioAlert[];
  }
  async rename(project: string, runId: string, name: string): Promise<void> {
    await this.#process.ask("rename_run", project, runId, name);
  }
  async delete(project: string, runId: string): Promise<void> {
    await this.#process.ask("delete_run", project, runId);
  }

  /** A training process of its own, which logs to this server. */
  async trainer(project: string, name: string): Promise<TrackioTrainer> {
    const environment = {
      ...offline,
      TRACKIO_DIR: join(this.#folder, `trainer-${name}`),
      TRACKIO_WRITE_TOKEN: this.writeToken,
    };
    const process = new PythonProcess(script, environment);
    return { runId: (await process.ask("init", project, name, this.url)) as string, process };
  }

  async stop(): Promise<void> {
    this.#process.stop();
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }
}

export interface TrackioTrainer {
  readonly runId: string;
  /** Knows `train(first, last)` and `finish()`. */
  readonly process: PythonProcess;
}
