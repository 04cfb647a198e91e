import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** The interpreter that has the clients of trackio and Weights & Biases. */
export const trackersPython: string = fileURLToPath(new URL("../../.cache/venv-trackers/bin/python", import.meta.url));

/**
 * A Python script that answers each line of JSON, `[function, …arguments]`, with one line `{"value"}` or `{"error"}`; other
 * lines that it prints are passed over.
 */
export class PythonProcess {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(script: URL, environment: Readonly<Record<string, string>> = {}, interpreter: string = trackersPython) {
    if (!existsSync(interpreter)) {
      throw new Error(`There is no ${interpreter}: run node test/tools/set-up-python.mjs first.`);
    }
    const child = spawn(interpreter, [fileURLToPath(script)], {
      env: { ...process.env, PYTHONDONTWRITEBYTECODE: "1", ...environment },
      stdio: ["pipe", "pipe", process.env["SHOW_PYTHON"] === undefined ? "ignore" : "inherit"],
    });
    this.#child = child;
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  async ask(...call: readonly [name: string, ...parameters: unknown[]]): Promise<unknown> {
    this.#child.stdin?.write(`${JSON.stringify(call)}\n`);
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (done === true) throw new Error(`The Python process ended; it was asked for ${call[0]}.`);
      if (!value.startsWith('{"value"') && !value.startsWith('{"error"')) continue;
      const answer = JSON.parse(value) as { value?: unknown; error?: string };
      if (answer.error !== undefined) throw new Error(answer.error);
      return answer.value;
    }
  }

  /** Ends the process; a process that was killed with `SIGKILL` says nothing more to a server. */
  stop(signal: NodeJS.Signals = "SIGTERM"): void {
    this.#child.kill(signal);
  }
}
