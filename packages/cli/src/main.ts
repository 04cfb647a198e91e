#!/usr/bin/env node
import packageJson from "../package.json" with { type: "json" };
import { branch } from "./branch.ts";
import { demo } from "./demo/demo.ts";
import { doctor } from "./doctor.ts";
import { estimate } from "./estimate.ts";
import { exportRun } from "./export.ts";
import { frontier } from "./frontier.ts";
import { prune } from "./prune.ts";
import { runCommand } from "./run-command.ts";
import { serve } from "./serve.ts";

const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  // The first signal asks for a clean stop, a second one ends at once.
  process.once(signal, () => {
    stop.abort();
    process.once(signal, () => process.exit(1));
  });
}

process.exitCode = await runCommand(
  process.argv.slice(2),
  [serve, demo, estimate, frontier, branch, doctor, exportRun, prune],
  packageJson.version,
  { input: process.stdin, output: process.stdout, messages: process.stderr, stop: stop.signal },
);
