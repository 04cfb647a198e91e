import type { ParseArgsConfig } from "node:util";

/** Where a command reads and writes; tests put their own in place of the process's streams. */
export interface Terminal {
  readonly input: NodeJS.ReadableStream;
  readonly output: NodeJS.WritableStream & { readonly isTTY?: boolean };
  /** Everything that is not the answer itself: progress, logs, errors. */
  readonly messages: NodeJS.WritableStream & { readonly isTTY?: boolean };
  /** Ends a command that serves (Ctrl-C, SIGTERM). */
  readonly stop: AbortSignal;
}

export interface Command {
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** The whole help text of the command. */
  readonly help: string;
  readonly options: NonNullable<ParseArgsConfig["options"]>;
  run(arguments_: CommandArguments, terminal: Terminal): Promise<void>;
}

/** Options and positional arguments, as typed by the user; each command checks its own values. */
export interface CommandArguments {
  readonly values: Readonly<Record<string, string | boolean | undefined>>;
  readonly positionals: readonly string[];
}

/** The command line itself is wrong: exit code 2 and the command's usage. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** The command was understood and failed for a reason that the user can act on: exit code 1, no stack. */
export class CommandError extends Error {
  override readonly name = "CommandError";
}

/** A whole number in a range, or a usage error that names the option. */
export function integerOption(
  { values }: CommandArguments,
  name: string,
  range: { readonly min: number; readonly max: number },
): number | undefined {
  const text = values[name];
  if (text === undefined) return undefined;
  const value = Number(text);
  if (
    typeof text !== "string" ||
    text.trim() === "" ||
    !Number.isInteger(value) ||
    value < range.min ||
    value > range.max
  ) {
    throw new UsageError(
      `--${name} must be a whole number from ${range.min} to ${range.max}, not ${JSON.stringify(text)}`,
    );
  }
  return value;
}

export function textOption({ values }: CommandArguments, name: string): string | undefined {
  const text = values[name];
  if (text === "") throw new UsageError(`--${name} is empty`);
  return typeof text === "string" ? text : undefined;
}
