// Builds the Python package, with the bundles that are in it, into plugins/hook-python/dist. No network: what builds it is in
// the environment that the tests of the trackers use.
import { join } from "node:path";
import { root, runCommand } from "./run-command.mjs";
import { setUpPython } from "./set-up-python.mjs";

setUpPython((line) => console.error(line));
const python = join(root, ".cache/venv-trackers/bin/python");
const target = "plugins/hook-python/dist";
const build = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", target];
const { ok, output } = await runCommand([python, ...build, "./plugins/hook-python"], { show: false, minutes: 5 });
console.log(ok ? `The wheel is in ${target}.` : output.trimEnd());
process.exitCode = ok ? 0 : 1;
