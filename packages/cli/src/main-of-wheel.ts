// The command as pip installs it: without the demo, whose digits and training library are 40 times as large as the rest.
import { commands } from "./commands.ts";
import { runProcess } from "./run-process.ts";

await runProcess(commands);
