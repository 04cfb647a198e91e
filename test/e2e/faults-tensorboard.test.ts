import { appendFile, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { RunDetail } from "@noisescale/protocol";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { PythonEventReader } from "../../plugins/tracker-tensorboard/test/python-event-reader.ts";
import { CommandProcess } from "./command-process.ts";

const startMs = 1_790_000_000_000;
const upTo = (end: number, from = 0): number[] => Array.from({ length: end - from }, (_, i) => from + i);

let reader: PythonEventReader;
let folder: string;
let root: string;
let collector: CommandProcess | undefined;
let url: string;

beforeAll(() => {
  reader = new PythonEventReader();
});
afterAll(() => reader.stop());
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "noisescale-faults-"));
  root = join(folder, "board");
  const trackers = [{ name: "board", kind: "tensorboard", root }];
  await writeFile(join(folder, "noisescale.config.json"), JSON.stringify({ trackers }));
  await start();
});
afterEach(async () => {
  await collector?.kill();
  await rm(folder, { recursive: true });
});

async function start(): Promise<void> {
  const config = join(folder, "noisescale.config.json");
  collector = CommandProcess.ofSources("serve", "--data", join(folder, "data"), "--config", config, "--port", "0");
  [url = ""] = await collector.prints(/http:\/\/127\.0\.0\.1:\d+/);
  await call("PUT", "a", { project: "faults", trackers: [{ name: "board" }] });
}
async function killed(): Promise<void> {
  collector?.signal("SIGKILL");
  await collector?.exit();
}
async function call<Answer>(method: string, path: string, body?: unknown): Promise<Answer> {
  const headers = { "content-type": "application/json" };
  const response = await fetch(
    `${url}/v1/runs/${path}`,
    body === undefined ? { method } : { method, headers, body: JSON.stringify(body) },
  );
  if (!response.ok) throw new Error(await response.text());
  return response.json() as Promise<Answer>;
}
/** Two seconds of training apart, so that each is a point of its own. */
const measure = (from: number, to: number): Promise<unknown> =>
  call("POST", "a/measurements", {
    measurements: upTo(to, from).map((step) => ({
      step,
      time_ms: startMs + 2000 * step,
      small: { batch_size: 8, squared_norm: 2 + Math.sin(step), count: 4 },
      big: { batch_size: 32, squared_norm: 1 + 0.25 * Math.sin(step) },
    })),
  });
const queueIs = (wanted: Partial<RunDetail["trackers"][number]>): Promise<void> =>
  vi.waitFor(async () => expect((await call<RunDetail>("GET", "a")).trackers).toMatchObject([wanted]), {
    timeout: 30_000,
    interval: 50,
  });
const delivered = (): Promise<void> => queueIs({ state: "ok", backlog: 0, message: null });
const directory = (): string => join(root, "a", "noise_scale");
async function steps(): Promise<readonly number[]> {
  const { scalars } = await reader.read(directory());
  return (scalars["noise_scale/batch_size"] ?? []).map(([step]) => step);
}
async function eventFile(): Promise<string> {
  const [name = "", ...more] = await readdir(directory());
  expect(more).toEqual([]);
  return join(directory(), name);
}

test("a collector that dies in the middle of a record goes on at its position: no torn record, each point once, in order", async () => {
  await measure(0, 10);
  await delivered();
  const file = await eventFile();
  const acknowledged = await readFile(file);
  // Within the length, within its checksum, within the data, and a whole record with a part of the next.
  for (const [i, part] of [1, 10, 30, 1000].entries()) {
    await killed();
    // What a crash between the first and the last byte of a delivery leaves behind what was acknowledged.
    await appendFile(file, acknowledged.subarray(0, part));
    await start();
    await measure(10 + 5 * i, 15 + 5 * i);
    await delivered();
    expect(await steps()).toEqual(upTo(15 + 5 * i));
  }
  expect(await eventFile()).toBe(file);
  expect((await readFile(file)).subarray(0, acknowledged.length)).toEqual(acknowledged);
});

test("a collector that is killed whenever it has written leaves each point once and in order", async () => {
  for (let from = 0; from < 40; from += 10) {
    const before = await readdir(directory()).then(
      async () => (await readFile(await eventFile())).length,
      () => 0,
    );
    await measure(from, from + 10);
    // Written, and acknowledged or not: the process goes at whatever point it is.
    await vi.waitFor(async () => expect((await readFile(await eventFile())).length).toBeGreaterThan(before), {
      timeout: 30_000,
      interval: 1,
    });
    await killed();
    await start();
  }
  await delivered();
  expect(await steps()).toEqual(upTo(40));
});

test("a root that is not there, and one that is no directory, are waited for; what came meanwhile is written in order", async () => {
  await measure(0, 10);
  await delivered();
  await rename(root, `${root} away`);
  await writeFile(root, "no directory");
  await measure(10, 20);
  await queueIs({ state: "retrying", message: expect.stringContaining(`could not write below ${root}`) });
  const metrics = await (await fetch(`${url}/metrics`)).text();
  expect(metrics).toMatch(/noisescale_outbox_backlog\{run="a",tracker="board"\} 1[0-9]\n/);
  await killed();
  await start();
  await measure(20, 30);
  await queueIs({ state: "retrying" });
  await rm(root);
  await rename(`${root} away`, root);
  await delivered();
  expect(await steps()).toEqual(upTo(30));
});

test("what a person removes stays away, and the points after it go into a file of their own", async () => {
  await measure(0, 10);
  await delivered();
  await rm(root, { recursive: true });
  await measure(10, 20);
  await delivered();
  expect(await steps()).toEqual(upTo(20, 10));
  await rm(await eventFile());
  await measure(20, 30);
  await delivered();
  expect(await steps()).toEqual(upTo(30, 20));
});
