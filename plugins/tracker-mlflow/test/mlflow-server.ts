import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort } from "../../../test/tools/free-port.ts";

const venv = new URL("../../../.cache/venv/bin/", import.meta.url);

/** The interpreter of the test environment. */
export const venvPython: string = fileURLToPath(new URL("python", venv));

/** A stock `mlflow server` with SQLite in a temporary folder. */
export class MlflowServer {
  readonly url: string;
  readonly #child: ChildProcess;
  readonly #folder: string;

  private constructor(url: string, child: ChildProcess, folder: string) {
    this.url = url;
    this.#child = child;
    this.#folder = folder;
  }

  /** @param options - further options of the command, for example an app with accounts */
  static async start(
    options: readonly string[] = [],
    environment: Readonly<Record<string, string>> = {},
  ): Promise<MlflowServer> {
    if (!existsSync(venvPython))
      throw new Error("There is no .cache/venv: run node test/tools/set-up-python.mjs first.");
    const folder = await mkdtemp(join(tmpdir(), "noisescale-mlflow-"));
    const port = await freePort();
    const log = join(folder, "server.log");
    const command = [
      ...["server", "--host", "127.0.0.1", "--port", String(port), "--workers", "1"],
      ...["--backend-store-uri", `sqlite:///${join(folder, "mlflow.db")}`],
      ...["--artifacts-destination", join(folder, "artifacts"), ...options],
    ];
    const child = spawn(
      "sh",
      ["-c", 'exec "$0" "$@" >"$LOG" 2>&1', fileURLToPath(new URL("mlflow", venv)), ...command],
      {
        env: {
          ...process.env,
          // The consumers of its job queues are seven processes that start as slowly as the server, and nothing here asks for.
          MLFLOW_SERVER_ENABLE_JOB_EXECUTION: "false",
          ...environment,
          LOG: log,
          MLFLOW_DISABLE_TELEMETRY: "true",
        },
        cwd: folder,
        detached: true,
        stdio: "ignore",
      },
    );
    const server = new MlflowServer(`http://127.0.0.1:${port}`, child, folder);
    try {
      await server.#ready(log);
    } catch (error) {
      await server.stop();
      throw error;
    }
    return server;
  }

  /** Ends the server with its workers: they are one process group. */
  async stop(): Promise<void> {
    const { pid } = this.#child;
    if (pid !== undefined && this.#child.exitCode === null) {
      const ended = once(this.#child, "exit");
      process.kill(-pid, "SIGTERM");
      await ended;
    }
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }

  async #ready(log: string): Promise<void> {
    const deadline = Date.now() + 90_000;
    for (;;) {
      const health = await fetch(`${this.url}/health`).catch(() => undefined);
      if (health?.ok === true) return;
      if (this.#child.exitCode !== null || Date.now() > deadline) {
        throw new Error(`mlflow server did not start:\n${await readFile(log, "utf8")}`);
      }
      await new Promise((resolve) => {
        setTimeout(resolve, 100);
      });
    }
  }
}
