import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { snapshotSchema } from "@noisescale/protocol";
import { afterEach, beforeEach, expect, test } from "vitest";
import { CommandProcess } from "./command-process.ts";

const hookPython = fileURLToPath(new URL("../../.cache/venv-python-hook/bin/python", import.meta.url));
const hook = fileURLToPath(new URL("../../plugins/hook-python/", import.meta.url));

let folder: string;
let collector: CommandProcess | undefined;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "python-hook-"));
});

afterEach(async () => {
  await collector?.kill();
  await rm(folder, { recursive: true, force: true });
});

async function runExample(url: string): Promise<{ arrived: boolean; measurements: number; snapshot: unknown }> {
  const example = spawn(hookPython, [join(hook, "examples/pytorch_digits.py"), "--run", "digits-python"], {
    cwd: folder,
    env: { ...process.env, PYTHONPATH: join(hook, "src"), NOISESCALE_URL: url, OMP_NUM_THREADS: "1" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let printed = "";
  example.stdout.setEncoding("utf8").on("data", (text: string) => {
    printed += text;
  });
  const [code] = await once(example, "close");
  expect(code).toBe(0);
  return JSON.parse(printed);
}

test("a PyTorch training on real digits gives an identifiable noise scale at a real collector", async () => {
  collector = CommandProcess.ofSources("serve", "--port", "0", "--data", join(folder, "data"));
  const [, url = ""] = await collector.prints(/(http:\/\/127\.0\.0\.1:\d+)/);

  const { arrived, measurements } = await runExample(url);

  expect(arrived).toBe(true);
  expect(measurements).toBe(600);
  const snapshot = snapshotSchema.parse(await (await fetch(`${url}/v1/runs/digits-python/snapshot`)).json());
  expect(snapshot.measurements).toBe(600);
  expect(snapshot.identifiable).toBe(true);
  expect(snapshot.batch_size).toBe(64);
  expect(Object.keys(snapshot.layers).sort()).toEqual(["0", "2"]);
  const run = await (await fetch(`${url}/v1/runs/digits-python`)).json();
  expect(run.state).toBe("finished");
  // Everything arrived, so that nothing is left to wait on disk.
  expect(await readdir(folder)).toEqual(["data"]);
}, 120_000);
