import { PassThrough, Readable } from "node:stream";
import type { Command } from "../src/command.ts";
import { runCommand } from "../src/run-command.ts";

export interface Outcome {
  readonly code: number;
  readonly output: string;
  readonly messages: string;
}

/** Runs a command line with streams of its own. */
export async function commandLine(
  argv: readonly string[],
  commands: readonly Command[],
  input = "",
  stop: AbortSignal = new AbortController().signal,
): Promise<Outcome> {
  const [output, messages] = [new PassThrough(), new PassThrough()];
  const code = await runCommand(argv, commands, "1.2.3", { input: Readable.from([input]), output, messages, stop });
  return { code, output: textOf(output), messages: textOf(messages) };
}

function textOf(stream: PassThrough): string {
  stream.end();
  return (stream.read() as Buffer | null)?.toString() ?? "";
}
