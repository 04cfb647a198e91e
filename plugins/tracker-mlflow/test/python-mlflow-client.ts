import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { venvPython } from "./mlflow-server.ts";

/** A run as the Python client reads it. */
export interface ReadMlflowRun {
  readonly metrics: Readonly<Record<string, readonly (readonly [step: number, timestampMs: number, value: number])[]>>;
  /** Contents by path, base64. */
  readonly files: Readonly<Record<string, string>>;
  readonly tags: Readonly<Record<string, string>>;
  readonly status: string;
}

/** A run in a list. */
export interface ListedMlflowRun {
  readonly run_id: string;
  readonly name: string;
  readonly status: string;
  readonly tags: Readonly<Record<string, string>>;
}

/** One Python process with the real MLflow client. */
export class PythonMlflowClient {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(server: string, environment: Readonly<Record<string, string>> = {}) {
    const script = fileURLToPath(new URL("mlflow_reader.py", import.meta.url));
    const env = { ...process.env, ...environment, MLFLOW_DISABLE_TELEMETRY: "true", TQDM_DISABLE: "1" };
    const child = spawn(venvPython, [script, server], { env, stdio: ["pipe", "pipe", "ignore"] });
    this.#child = child;
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  async createRun(experiment: string, note: string | null = null): Promise<string> {
    return (await this.#ask("create_run", experiment, note)) as string;
  }
  async experimentTags(experiment: string): Promise<Readonly<Record<string, string>>> {
    return (await this.#ask("experiment_tags", experiment)) as Readonly<Record<string, string>>;
  }
  async setExperimentTag(experiment: string, key: string, value: string): Promise<void> {
    await this.#ask("set_experiment_tag", experiment, key, value);
  }
  /** Runs of every experiment that are not deleted. */
  async countActiveRuns(): Promise<number> {
    return (await this.#ask("count_active_runs")) as number;
  }
  async runsOf(experiment: string): Promise<readonly ListedMlflowRun[]> {
    return (await this.#ask("runs_of", experiment)) as readonly ListedMlflowRun[];
  }
  async readRun(runId: string): Promise<ReadMlflowRun> {
    return (await this.#ask("read_run", runId)) as ReadMlflowRun;
  }
  async deleteRun(runId: string): Promise<void> {
    await this.#ask("delete_run", runId);
  }
  async restoreRun(runId: string): Promise<void> {
    await this.#ask("restore_run", runId);
  }
  async train(runId: string, steps: number): Promise<void> {
    await this.#ask("train", runId, steps);
  }
  stop(): void {
    this.#child.kill();
  }

  async #ask(...call: readonly unknown[]): Promise<unknown> {
    this.#child.stdin?.write(`${JSON.stringify(call)}\n`);
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (done === true) throw new Error("The Python client ended.");
      // mlflow prints links to a finished run on standard output; an answer is the line that is an object.
      if (!value.startsWith("{")) continue;
      const answer = JSON.parse(value) as { value?: unknown; error?: string };
      if (answer.error !== undefined) throw new Error(answer.error);
      return answer.value;
    }
  }
}
