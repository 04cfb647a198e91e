import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

const main = fileURLToPath(new URL("../../packages/cli/src/main.ts", import.meta.url));

/** The command as a user starts it, in a process of its own. */
export class CommandProcess {
  readonly #child: ChildProcess;
  readonly #exited: Promise<number | null>;
  output = "";
  messages = "";

  constructor(...argv: readonly string[]) {
    this.#child = spawn(process.execPath, ["--conditions=@noisescale/source", main, ...argv]);
    this.#child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.output += text;
    });
    this.#child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.messages += text;
    });
    this.#exited = once(this.#child, "close").then(([code]) => code);
  }

  /** Resolves with the match once the messages hold it. @throws where the process ends before */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this.messages);
      if (match !== null) return match;
      const ended = await Promise.race([once(this.#child.stderr ?? this.#child, "data"), this.#exited]);
      if (!Array.isArray(ended) && pattern.exec(this.messages) === null) {
        throw new Error(`The command ended with ${ended} and did not say ${pattern}:\n${this.messages}`);
      }
    }
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  exit(): Promise<number | null> {
    return this.#exited;
  }

  /** For the end of a test, whatever came before. */
  async kill(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill("SIGKILL");
    await this.#exited;
  }
}
