import { accessSync, constants, existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { runCommand } from "./run-command.mjs";

const names = ["chromium", "chromium-browser", "google-chrome"];

/** @returns {string | undefined} the browser's executable on PATH */
export function findChromium() {
  for (const directory of (process.env["PATH"] ?? "").split(delimiter)) {
    for (const path of names.map((name) => join(directory, name))) {
      if (existsSync(path) && isExecutable(path)) return path;
    }
  }
  return undefined;
}

/**
 * @param {(line: string) => void} say
 * @throws Error with a sentence for the person who runs the tests
 */
export async function setUpChromium(say) {
  if (findChromium() !== undefined) return;
  const advice = "The page is tested in a real browser: install Chromium (Debian, Ubuntu: apt-get install chromium).";
  if (process.getuid?.() !== 0 || !existsSync("/usr/bin/apt-get")) throw new Error(advice);
  say("installing chromium with apt-get (once)");
  const env = { DEBIAN_FRONTEND: "noninteractive" };
  await runCommand(["apt-get", "update"], { show: false, minutes: 5, env });
  const done = await runCommand(["apt-get", "install", "--yes", "--no-install-recommends", "chromium"], {
    show: false,
    minutes: 10,
    env,
  });
  if (findChromium() === undefined) throw new Error(`${advice}\n${done.output}`);
}

/** @param {string} path */
function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
