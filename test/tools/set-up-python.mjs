// Makes .cache/venv from test/tools/requirements.txt, with its interpreter at .cache/venv/bin/python, .cache/venv-trackers
// from test/tools/requirements-trackers.txt and .cache/venv-python-hook from test/tools/requirements-python-hook.txt. Done
// once per content of those files.
// `node test/tools/set-up-python.mjs` runs it alone.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));
const venv = join(root, ".cache/venv");
const trackersVenv = join(root, ".cache/venv-trackers");
const hookVenv = join(root, ".cache/venv-python-hook");
const oldestPython = [3, 10];

/** The interpreter that the tests call. */
export const venvPython = join(venv, "bin/python");
/** The interpreter that has PyTorch, for plugins/hook-python. */
export const hookPython = join(hookVenv, "bin/python");

/**
 * @param {(line: string) => void} say
 * @throws Error with a sentence for the person who runs the tests
 */
export function setUpPython(say) {
  setUpVenv(venv, "test/tools/requirements.txt", say);
  setUpVenv(trackersVenv, "test/tools/requirements-trackers.txt", say);
}

/**
 * @param {(line: string) => void} say
 * @throws Error with a sentence for the person who runs the tests
 */
export function setUpHookPython(say) {
  setUpVenv(hookVenv, "test/tools/requirements-python-hook.txt", say);
}

/**
 * @param {string} venv
 * @param {string} requirements - path from the root
 * @param {(line: string) => void} say
 */
function setUpVenv(venv, requirements, say) {
  const key = createHash("sha256")
    .update(readFileSync(join(root, requirements)))
    .digest("hex");
  const stamp = join(venv, "requirements.sha256");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === key) return;

  const python = findPython();
  say(`installing the Python packages of ${requirements} into ${relative(root, venv)} (once, a minute or two)`);
  rmSync(venv, { recursive: true, force: true });
  const run = (/** @type {string} */ command, /** @type {string[]} */ args, /** @type {string} */ advice) =>
    runOrRemove(venv, command, args, advice);
  run(python, ["-m", "venv", venv], `The venv could not be made. On Debian and Ubuntu: apt-get install python3-venv.`);
  run(
    join(venv, "bin/python"),
    ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", join(root, requirements)],
    "The Python packages could not be installed. Is the package index reachable?",
  );
  writeFileSync(stamp, key);
}

/** @returns {string} the first interpreter on PATH that is recent enough */
function findPython() {
  for (const name of ["python3", "python", "python3.13", "python3.12", "python3.11", "python3.10"]) {
    const answer = spawnSync(name, ["-c", "import sys; print(sys.version_info[0], sys.version_info[1])"]);
    const [major = 0, minor = 0] = String(answer.stdout ?? "")
      .trim()
      .split(" ")
      .map(Number);
    if (answer.status === 0 && major === oldestPython[0] && minor >= oldestPython[1]) return name;
  }
  throw new Error(
    `The tests read TensorBoard and MLflow back with their Python packages, and found no Python ≥ ${oldestPython.join(".")} ` +
      `on PATH. Install one (Debian, Ubuntu: apt-get install python3 python3-venv) and run again.`,
  );
}

/**
 * @param {string} venv
 * @param {string} command
 * @param {string[]} args
 * @param {string} advice
 */
function runOrRemove(venv, command, args, advice) {
  const done = spawnSync(command, args, { encoding: "utf8", maxBuffer: 1 << 26 });
  if (done.status === 0) return;
  rmSync(venv, { recursive: true, force: true });
  throw new Error(`${advice}\n${done.stdout ?? ""}${done.stderr ?? done.error?.message ?? ""}`.trim());
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    setUpPython((line) => console.error(line));
    setUpHookPython((line) => console.error(line));
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
