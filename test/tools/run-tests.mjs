// Everything that `pnpm test` does: sets up what the tests need, runs every check and every test, and ends with the line
// `N passed, N failed`. A step that fails keeps no other from running.
//
//   node test/tools/run-tests.mjs                  all
//   node test/tools/run-tests.mjs --only unit      one part; several with commas: checks, unit, integration, e2e, oracle
import { existsSync, globSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import { root, runCommand } from "./run-command.mjs";
import { setUpChromium } from "./set-up-chromium.mjs";
import { hookPython, setUpHookPython, setUpPython, venvPython } from "./set-up-python.mjs";
import { readTestResults } from "./test-results.mjs";

const parts = ["checks", "unit", "integration", "e2e", "oracle"];
const only = chosenParts();
const has = (/** @type {string[]} */ ...some) => some.some((part) => only.includes(part));

// Run from a script of the package manager this is so already; run by hand, it makes tools and Node those of the project.
process.env["PATH"] = [join(root, "node_modules/.bin"), process.env["PATH"]].join(delimiter);

const counts = { passed: 0, failed: 0 };
/** @type {string[]} */
const failures = [];

/**
 * One check: it passes, or it fails with what it says.
 *
 * @param {string} name
 * @param {() => Promise<{ readonly ok: boolean, readonly output: string }>} work
 */
async function check(name, work) {
  const start = performance.now();
  const { ok, output } = await work().catch((error) => ({ ok: false, output: String(error) }));
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  console.log(`${ok ? "ok    " : "FAILED"} ${name} (${seconds} s)`);
  if (ok) counts.passed += 1;
  else {
    counts.failed += 1;
    failures.push(name);
    console.log(output.trimEnd());
  }
}

/**
 * A step of the set-up: quiet where there is nothing to do, a failed check where it fails.
 *
 * @param {string} name
 * @param {(say: (line: string) => void) => void | Promise<void>} work
 */
async function setUp(name, work) {
  try {
    await work((line) => console.log(`set-up: ${line}`));
  } catch (error) {
    await check(name, async () => ({ ok: false, output: error instanceof Error ? error.message : String(error) }));
  }
}

/**
 * @param {readonly string[]} command
 * @param {number} minutes
 */
const quietly = (command, minutes = 5) => runCommand(command, { show: false, minutes });

/**
 * A tool of the Python hook, which takes its settings from the pyproject.toml of the folder it runs in.
 *
 * @param {string} folder
 * @param {string} module
 * @param {number} minutes
 */
const inFolder = (folder, module, minutes = 5) =>
  runCommand([hookPython, "-m", module], { show: false, minutes, folder, env: { PYTHONDONTWRITEBYTECODE: "1" } });

if (has("integration", "e2e", "oracle")) await setUp("set-up of Python", setUpPython);
if (has("checks", "unit", "e2e")) await setUp("set-up of Python with PyTorch", setUpHookPython);
const tfjsNode = "test/tools/build-tfjs-node.mjs";
if (has("unit", "integration", "e2e") && existsSync(join(root, tfjsNode))) {
  await setUp("set-up of tfjs-node", async () => {
    const { ok, output } = await quietly(["node", tfjsNode], 10);
    if (!ok) throw new Error(output);
  });
}
if (has("e2e")) await setUp("set-up of Chromium", setUpChromium);

if (has("checks", "unit", "integration", "e2e")) {
  const packageManager = onPath("pnpm") ? ["pnpm"] : ["npx", "--yes", "pnpm@12"];
  await check("bundle", () => quietly([...packageManager, "run", "bundle"]));
}
if (has("checks")) {
  await check("biome", () => quietly(["biome", "check", "."]));
  await check("types", () => quietly(["tsc", "-b"]));
  await check("types of the tests", () => quietly(["tsc", "-p", "tsconfig.test.json"]));
  await check("knip", () => quietly(["knip"]));
  await check("Python types of the wire", () =>
    quietly(["node", "--conditions=@noisescale/source", "test/tools/write-python-wire.mjs", "--check"]),
  );
  const pythonHook = "plugins/hook-python";
  await check(`ruff ${pythonHook}`, () => quietly([hookPython, "-m", "ruff", "check", pythonHook]));
  await check(`ruff format ${pythonHook}`, () => quietly([hookPython, "-m", "ruff", "format", "--check", pythonHook]));
  await check(`mypy ${pythonHook}`, () => inFolder(pythonHook, "mypy"));
  for (const folder of publicPackages()) await check(`publint ${folder}`, () => lintPackage(folder));
}

if (has("unit")) await check("pytest plugins/hook-python", () => inFolder("plugins/hook-python", "pytest", 15));

const projects = ["unit", "integration", "e2e"].filter((project) => has(project));
if (projects.length > 0) {
  const report = join(root, ".cache/test-results.json");
  mkdirSync(dirname(report), { recursive: true });
  rmSync(report, { force: true });
  const { ok, output } = await runCommand(
    [
      "vitest",
      "run",
      ...projects.flatMap((project) => ["--project", project]),
      "--reporter=default",
      "--reporter=json",
      `--outputFile.json=${report}`,
    ],
    { show: true, minutes: 20 },
  );
  if (output !== "") console.log(output);
  const tests = readTestResults(report, ok);
  counts.passed += tests.passed;
  counts.failed += tests.failed;
  if (tests.failed > 0) failures.push(`${tests.failed} of the tests`);
}

const oracle = "test/oracle/make_reference.py";
if (has("oracle") && existsSync(join(root, oracle))) {
  await check("oracle", () => quietly([venvPython, oracle, "--check"]));
}

if (failures.length > 0) console.log(`Failed: ${failures.join(", ")}`);
console.log(`${counts.passed} passed, ${counts.failed} failed`);
process.exitCode = counts.failed === 0 ? 0 : 1;

/** @returns {string[]} the parts that were asked for */
function chosenParts() {
  const { only: asked } = parseArgs({ options: { only: { type: "string" } } }).values;
  const chosen = asked?.split(",") ?? parts;
  const unknown = chosen.find((part) => !parts.includes(part));
  if (unknown === undefined) return chosen;
  console.error(`--only takes ${parts.join(", ")}; not ${JSON.stringify(unknown)}.`);
  process.exit(2);
}

/** @returns {string[]} folders of the packages that are published */
function publicPackages() {
  return globSync(["packages/*/package.json", "plugins/*/package.json", "server/package.json"], { cwd: root })
    .filter((path) => JSON.parse(readFileSync(join(root, path), "utf8")).private !== true)
    .map(dirname)
    .sort();
}

/**
 * Whether what npm would publish of a package can be imported.
 *
 * @param {string} folder
 */
async function lintPackage(folder) {
  const { messages, pkg } = await publint({ pkgDir: join(root, folder), pack: "npm", strict: true });
  const serious = messages.filter((message) => message.type !== "suggestion");
  return { ok: serious.length === 0, output: serious.map((message) => formatMessage(message, pkg) ?? "").join("\n") };
}

/** @param {string} program */
function onPath(program) {
  return (process.env["PATH"] ?? "").split(delimiter).some((directory) => existsSync(join(directory, program)));
}
