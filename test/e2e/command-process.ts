import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";

const sources = fileURLToPath(new URL("../../packages/cli/src/main.ts", import.meta.url));
const build = fileURLToPath(new URL("../../packages/cli/dist/main.js", import.meta.url));

/** The command as a user starts it, in a process of its own. */
export class CommandProcess {
  readonly #child: ChildProcess;
  readonly #exited: Promise<number | null>;
  output = "";
  messages = "";

  /** @param argv - what comes after the interpreter */
  private constructor(argv: readonly string[]) {
    this.#child = spawn(process.execPath, argv);
    this.#child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.output += text;
    });
    this.#child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.messages += text;
    });
    this.#exited = once(this.#child, "close").then(([code]) => code);
  }

  /** The command from the sources. */
  static ofSources(...argv: readonly string[]): CommandProcess {
    return new CommandProcess(["--conditions=@noisescale/source", sources, ...argv]);
  }

  /** The command as it is built and published. */
  static ofBuild(...argv: readonly string[]): CommandProcess {
    return new CommandProcess([build, ...argv]);
  }

  /** Resolves with the match once standard error holds it. @throws where the process ends before */
  says(pattern: RegExp): Promise<RegExpExecArray> {
    return this.#holds(pattern, this.#child.stderr, () => this.messages);
  }

  /** Resolves with the match once standard output holds it. @throws where the process ends before */
  prints(pattern: RegExp): Promise<RegExpExecArray> {
    return this.#holds(pattern, this.#child.stdout, () => this.output);
  }

  async #holds(pattern: RegExp, stream: Readable | null, text: () => string): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(text());
      if (match !== null) return match;
      const ended = await Promise.race([once(stream ?? this.#child, "data"), this.#exited]);
      if (!Array.isArray(ended) && pattern.exec(text()) === null) {
        throw new Error(`The command ended with ${ended} and did not write ${pattern}:\n${this.messages}`);
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
