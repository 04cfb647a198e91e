#!/usr/bin/env node
import { commands } from "./commands.ts";
import { demo } from "./demo/demo.ts";
import { runProcess } from "./run-process.ts";

const [serve, ...others] = commands;
await runProcess([serve, demo, ...others]);
