import { parseArgs } from "node:util";
import { type Command, CommandError, type Terminal, UsageError } from "./command.ts";

export const exitCode = { succeeded: 0, failed: 1, usage: 2 } as const;

function overview(commands: readonly Command[]): string {
  const width = Math.max(...commands.map((command) => command.name.length));
  return [
    "noisescale: is the batch size too small, too large, or right?",
    "",
    "Usage: noisescale <command> [options]",
    "",
    ...commands.map((command) => `  ${command.name.padEnd(width)}  ${command.summary}`),
    "",
    "  noisescale <command> --help   what a command takes",
    "  noisescale --version",
    "",
    "Exit codes: 0 succeeded, 1 failed, 2 wrong usage.",
    "",
  ].join("\n");
}

/** Runs one command line (without the interpreter and script) and answers the process's exit code. */
export async function runCommand(
  argv: readonly string[],
  commands: readonly Command[],
  version: string,
  terminal: Terminal,
): Promise<number> {
  const [name, ...rest] = argv;
  if (name === "--help" || name === "-h" || name === "help") {
    terminal.output.write(overview(commands));
    return exitCode.succeeded;
  }
  if (name === "--version" || name === "-v") {
    terminal.output.write(`${version}\n`);
    return exitCode.succeeded;
  }
  const command = commands.find((candidate) => candidate.name === name);
  if (command === undefined) {
    const problem = name === undefined ? "No command given." : `There is no command ${JSON.stringify(name)}.`;
    terminal.messages.write(`${problem}\n\n${overview(commands)}`);
    return exitCode.usage;
  }
  if (rest.includes("--help") || rest.includes("-h")) {
    terminal.output.write(`${command.help}\n`);
    return exitCode.succeeded;
  }
  try {
    const { values, positionals } = parseCommandLine(command, rest);
    await command.run({ values, positionals }, terminal);
    return exitCode.succeeded;
  } catch (error) {
    if (error instanceof UsageError) {
      terminal.messages.write(`noisescale ${command.name}: ${error.message}\n\n${command.help}\n`);
      return exitCode.usage;
    }
    const message =
      error instanceof CommandError ? error.message : error instanceof Error ? error.stack : String(error);
    terminal.messages.write(`noisescale ${command.name}: ${message}\n`);
    return exitCode.failed;
  }
}

/** What is wrong with an option, in fewer words than Node has for it. */
function optionProblem(error: unknown, argv: readonly string[], known: readonly string[]): string {
  const { code, message } = error as NodeJS.ErrnoException;
  const [, option = ""] = /'(-[^' ]*)/.exec(message) ?? [];
  if (code === "ERR_PARSE_ARGS_UNKNOWN_OPTION") {
    return `there is no option ${option}; there are ${known.map((name) => `--${name}`).join(", ")}`;
  }
  const value = argv[argv.indexOf(option) + 1];
  if (message.includes("ambiguous") && value !== undefined) {
    return `${option} needs a value; one that starts with a dash is written ${option}=${value}`;
  }
  if (message.includes("argument missing")) return `${option} needs a value`;
  return message;
}

function parseCommandLine(command: Command, argv: readonly string[]) {
  try {
    const { values, positionals } = parseArgs({
      args: [...argv],
      options: command.options,
      allowPositionals: true,
      strict: true,
    });
    return { values: values as Record<string, string | boolean | undefined>, positionals };
  } catch (error) {
    throw new UsageError(optionProblem(error, argv, Object.keys(command.options ?? {})));
  }
}
