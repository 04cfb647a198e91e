import packageJson from "../package.json" with { type: "json" };
import type { Command } from "./command.ts";
import { runCommand } from "./run-command.ts";

/** Runs this process's command line with these commands, and leaves the exit code. */
export async function runProcess(commands: readonly Command[]): Promise<void> {
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    // The first signal asks for a clean stop, a second one ends at once.
    process.once(signal, () => {
      stop.abort();
      process.once(signal, () => process.exit(1));
    });
  }
  process.exitCode = await runCommand(process.argv.slice(2), commands, packageJson.version, {
    input: process.stdin,
    output: process.stdout,
    messages: process.stderr,
    stop: stop.signal,
  });
}
