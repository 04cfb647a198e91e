import { branch } from "./branch.ts";
import type { Command } from "./command.ts";
import { doctor } from "./doctor.ts";
import { estimate } from "./estimate.ts";
import { exportRun } from "./export.ts";
import { frontier } from "./frontier.ts";
import { prune } from "./prune.ts";
import { serve } from "./serve.ts";

/** What every installation has. */
export const commands: readonly [Command, ...Command[]] = [serve, estimate, frontier, branch, doctor, exportRun, prune];
