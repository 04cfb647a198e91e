// Gives the npm package @tensorflow/tfjs-node its native library without the download of its own install script: the
// libtensorflow of the PyPI wheel tensorflow-cpu, and the binding compiled against it. Done once per version, kept in
// .cache/tfjs-node, and linked into the package's folder. `node test/tools/build-tfjs-node.mjs` runs it alone.
import { spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { root } from "./run-command.mjs";

/** The release whose headers the binding of tfjs-node 4.22 compiles against. */
const tensorflow = "2.15.1";
const wheelParts = [
  "tensorflow/libtensorflow_cc.so.2",
  "tensorflow/libtensorflow_framework.so.2",
  "tensorflow/include/tensorflow/c/*",
  "tensorflow/include/tensorflow/core/platform/*",
  "tensorflow/include/tensorflow/tsl/*",
  "tensorflow/include/tsl/*",
  "tensorflow/include/xla/tsl/*",
];

/** Unpacks what matches: a wheel is a zip file, which Node cannot read. */
const unpackScript = `
import fnmatch, sys, zipfile
wheel, folder, *patterns = sys.argv[1:]
with zipfile.ZipFile(wheel) as archive:
    names = [name for name in archive.namelist() if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]
    archive.extractall(folder, names)
`;

try {
  buildTfjsNode();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}

/** @throws Error with a sentence for the person who runs the tests */
function buildTfjsNode() {
  if (process.platform !== "linux" || process.arch !== "x64") {
    throw new Error(
      "tfjs-node is built here from the wheel for Linux on x86-64. Elsewhere: npm rebuild @tensorflow/tfjs-node, which downloads its own library.",
    );
  }
  const folder = realpathSync(join(root, "test/node_modules/@tensorflow/tfjs-node"));
  const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const built = join(root, `.cache/tfjs-node/${version}-tensorflow-${tensorflow}`);
  if (!existsSync(built)) {
    const work = `${built}.part`;
    rmSync(work, { recursive: true, force: true });
    mkdirSync(work, { recursive: true });
    fetchLibrary(work);
    compileBinding(folder, work);
    renameSync(work, built);
  }
  // The package finds the binding in lib/, and the binding finds the library in ../../deps/lib, from where it really lies.
  for (const name of ["deps", "lib"]) {
    const link = join(folder, name);
    if (existsSync(link) && realpathSync(link) === realpathSync(join(built, name))) continue;
    rmSync(link, { recursive: true, force: true });
    symlinkSync(join(built, name), link);
  }
}

/** @param {string} work - folder that gets deps/lib and deps/include */
function fetchLibrary(work) {
  const wheels = join(work, "wheel");
  run(
    "python3",
    [
      ...["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:"],
      ...[
        "--python-version",
        "3.11",
        "--platform",
        "manylinux2014_x86_64",
        "--dest",
        wheels,
        `tensorflow-cpu==${tensorflow}`,
      ],
    ],
    `tensorflow-cpu ${tensorflow} could not be downloaded. Is the package index reachable, and python3 with pip installed?`,
  );
  const [wheel] = globSync("*.whl", { cwd: wheels });
  if (wheel === undefined) throw new Error(`pip left no wheel in ${wheels}.`);
  run(
    "python3",
    ["-c", unpackScript, join(wheels, wheel), join(work, "unpacked"), ...wheelParts],
    `The wheel ${wheel} could not be unpacked.`,
  );
  mkdirSync(join(work, "deps/lib"), { recursive: true });
  for (const library of ["libtensorflow_cc.so.2", "libtensorflow_framework.so.2"]) {
    renameSync(join(work, "unpacked/tensorflow", library), join(work, "deps/lib", library));
  }
  symlinkSync("libtensorflow_cc.so.2", join(work, "deps/lib/libtensorflow.so"));
  symlinkSync("libtensorflow_framework.so.2", join(work, "deps/lib/libtensorflow_framework.so"));
  renameSync(join(work, "unpacked/tensorflow/include"), join(work, "deps/include"));
  rmSync(join(work, "unpacked"), { recursive: true });
  rmSync(wheels, { recursive: true });
}

/**
 * @param {string} folder - of the package @tensorflow/tfjs-node
 * @param {string} work - folder with deps; gets lib/napi-v8
 */
function compileBinding(folder, work) {
  const headers = join(dirname(createRequire(import.meta.url).resolve("node-api-headers")), "include");
  cpSync(join(folder, "binding"), join(work, "binding"), { recursive: true });
  mkdirSync(join(work, "lib/napi-v8"), { recursive: true });
  run(
    "g++",
    [
      ...["-std=c++17", "-O2", "-fPIC", "-shared", "-DNAPI_VERSION=8", "-DBUILDING_NODE_EXTENSION"],
      ...[`-I${headers}`, `-I${join(work, "deps/include")}`, `-I${join(work, "binding")}`],
      ...["tfjs_backend.cc", "tfjs_binding.cc"].map((source) => join(work, "binding", source)),
      ...[`-L${join(work, "deps/lib")}`, "-ltensorflow", "-ltensorflow_framework"],
      ...["-Wl,-rpath,$ORIGIN/../../deps/lib", "-Wl,--allow-shlib-undefined"],
      ...["-o", join(work, "lib/napi-v8/tfjs_binding.node")],
    ],
    "The binding of tfjs-node could not be compiled. On Debian and Ubuntu: apt-get install g++.",
  );
}

/**
 * @param {string} command
 * @param {string[]} args
 * @param {string} advice
 */
function run(command, args, advice) {
  const done = spawnSync(command, args, { encoding: "utf8", maxBuffer: 1 << 26 });
  if (done.status === 0) return;
  throw new Error(`${advice}\n${done.stdout ?? ""}${done.stderr ?? done.error?.message ?? ""}`.trim());
}
