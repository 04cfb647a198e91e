import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** What the tensorboard package reads from a run's directory. Values by tag, in the order of the file. */
export interface ReadDirectory {
  readonly scalars: Readonly<Record<string, readonly (readonly [step: number, wallTime: number, value: number])[]>>;
  readonly images: Readonly<
    Record<
      string,
      {
        readonly title: string;
        readonly events: readonly (readonly [step: number, width: number, height: number, base64: string])[];
      }
    >
  >;
  readonly texts: Readonly<Record<string, readonly (readonly [step: number, text: string])[]>>;
  /** The texts as TensorBoard's page shows them, without their markup. */
  readonly rendered: Readonly<Record<string, readonly string[]>>;
  readonly layout:
    | readonly (readonly [
        category: string,
        charts: readonly (readonly [
          title: string,
          tags: readonly string[],
          margins: readonly (readonly [value: string, lower: string, upper: string])[],
        ])[],
      ])[]
    | null;
  /** The data of the panels' tab, the last. */
  readonly panelData: string | null;
  /** Plugin and data class by tag. */
  readonly classes: Readonly<Record<string, readonly [plugin: string, dataClass: number]>>;
}

/** One Python process with the real tensorboard package; it reads a directory at a time. */
export class PythonEventReader {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  #exited: string | undefined;

  constructor() {
    if (!existsSync(venvPython))
      throw new Error("There is no .cache/venv: run node test/tools/set-up-python.mjs first.");
    const script = fileURLToPath(new URL("read_events.py", import.meta.url));
    const child = spawn(venvPython, [script], { stdio: ["pipe", "pipe", "inherit"] });
    child.once("exit", (code) => {
      this.#exited = `The reader of event files ended with code ${code}.`;
    });
    this.#child = child;
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  async read(directory: string): Promise<ReadDirectory> {
    this.#child.stdin?.write(`${JSON.stringify(directory)}\n`);
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error(this.#exited ?? "The reader of event files closed its output.");
    return JSON.parse(value) as ReadDirectory;
  }

  stop(): void {
    this.#child.kill();
  }
}

/** The interpreter of the test environment. */
export const venvPython: string = fileURLToPath(new URL("../../../.cache/venv/bin/python", import.meta.url));
