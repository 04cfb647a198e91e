import { spawn } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Root of the checkout. */
export const root = fileURLToPath(new URL("../../", import.meta.url));

/**
 * Runs a command in the root of the checkout.
 *
 * @param {readonly string[]} command - program and arguments
 * @param {{ readonly show: boolean, readonly minutes: number, readonly env?: Readonly<Record<string, string>>, readonly folder?: string }} options -
 *   `show`: print while it runs instead of keeping the output; `minutes`: it is stopped after that long;
 *   `folder`: where it runs instead, from the root
 * @returns {Promise<{ readonly ok: boolean, readonly output: string }>} `output`: what it printed, or why it did not run
 */
export function runCommand([program = "", ...args], { show, minutes, env = {}, folder = "." }) {
  return new Promise((resolve) => {
    const stdio = show ? "inherit" : "pipe";
    const child = spawn(program, args, {
      cwd: join(root, folder),
      env: { ...process.env, ...env },
      stdio: ["ignore", stdio, stdio],
      timeout: minutes * 60_000,
    });
    let output = "";
    const keep = (/** @type {Buffer} */ chunk) => {
      output += chunk.toString();
    };
    child.stdout?.on("data", keep);
    child.stderr?.on("data", keep);
    child.once("error", (error) => resolve({ ok: false, output: `${program} could not be started: ${error.message}` }));
    child.once("close", (code, signal) => {
      if (signal !== null) output += `\n${program} was stopped by ${signal}; the limit is ${minutes} minutes.`;
      resolve({ ok: code === 0, output });
    });
  });
}
