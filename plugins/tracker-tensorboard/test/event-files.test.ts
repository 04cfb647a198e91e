import { mkdir, mkdtemp, readdir, readFile, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Delivery, metricKey, TrackerError } from "@noisescale/tracker";
import { tensorboardTracker } from "@noisescale/tracker-tensorboard";
import { afterEach, beforeEach, expect, test } from "vitest";

const context = { run: "mnist-1", project: "p", name: "MNIST", queue: "0123456789abcdef" };
/** Less than one delivery writes, so that the next one opens a file [bytes]. */
const small = 500;
let root: string;
let outside: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "noisescale-tensorboard-"));
  outside = await mkdtemp(join(tmpdir(), "noisescale-outside-"));
});
afterEach(async () => {
  await rm(root, { recursive: true });
  await rm(outside, { recursive: true });
});

const directory = (): string => join(root, "mnist-1", "noise_scale");
const steps = (...all: number[]): Delivery => ({
  points: all.map((step) => ({ key: metricKey.bSimple, step, timeMs: 1000 * step, value: step })),
  panels: [],
});
async function contents(): Promise<Map<string, string>> {
  const names = (await readdir(directory())).sort();
  return new Map(
    await Promise.all(
      names.map(async (name) => [name, (await readFile(join(directory(), name))).toString("hex")] as const),
    ),
  );
}
async function send(
  deliveries: readonly Delivery[],
  position: string | null = null,
  rotateAtBytes = 1e6,
): Promise<string> {
  const run = await tensorboardTracker({ root, rotateAtBytes }).openRun({}, context);
  let at = position;
  for (const delivery of deliveries) at = await run.send(delivery, at);
  return at ?? "";
}

test("a crash after any byte of a delivery leaves, once it is sent again, the files of a run without a crash", async () => {
  const position = await send([steps(0, 1)]);
  await send([steps(2, 3)], position);
  const expected = await contents();
  const [name = "", hex = ""] = [...expected][0] ?? [];
  const whole = Buffer.from(hex, "hex");
  const acknowledged = Number(position.split(":")[1]);
  for (let length = acknowledged; length <= whole.length; length += 7) {
    await truncate(join(directory(), name), length);
    await send([steps(2, 3)], position);
    expect(await contents()).toEqual(expected);
  }
});

test("what stood behind the position, longer than the new delivery, is cut off", async () => {
  const position = await send([steps(0)]);
  await send([steps(1, 2, 3, 4)], position);
  await send([steps(1)], position);
  const cut = await contents();
  await rm(directory(), { recursive: true });
  await send([steps(0), steps(1)]);
  expect(cut).toEqual(await contents());
});

test("a file that has grown past the limit gets a successor, and a retry makes the same files", async () => {
  const afterFirst = await send([steps(0, 1, 2, 3, 4)], null, small);
  expect(afterFirst).toMatch(/^1:/);
  const afterSecond = await send([steps(5)], afterFirst, small);
  expect(afterSecond).toMatch(/^2:/);
  const expected = await contents();
  expect([...expected.keys()]).toEqual([
    "events.out.tfevents.0000000001.noisescale.mnist-1~0123456789abcdef",
    "events.out.tfevents.0000000002.noisescale.mnist-1~0123456789abcdef",
  ]);
  expect(await send([steps(5)], afterFirst, small)).toBe(afterSecond);
  expect(await contents()).toEqual(expected);
});

test("files that a crash left behind the position go, and a trainer's own file stays", async () => {
  const afterFirst = await send([steps(0, 1, 2, 3, 4)], null, small);
  expect(await send([steps(5)], afterFirst, small)).toMatch(/^2:/);
  await writeFile(join(directory(), "events.out.tfevents.1790000000.host.123.0"), "theirs");
  await send([steps(0)], null, small);
  expect([...(await contents()).keys()]).toEqual([
    "events.out.tfevents.0000000001.noisescale.mnist-1~0123456789abcdef",
    "events.out.tfevents.1790000000.host.123.0",
  ]);
});

test("a file that someone deleted or cut is followed by a new one, not by a hole", async () => {
  const position = await send([steps(0, 1, 2)]);
  const first = join(directory(), "events.out.tfevents.0000000001.noisescale.mnist-1~0123456789abcdef");
  await truncate(first, 10);
  expect(await send([steps(3)], position)).toMatch(/^2:/);
  await rm(directory(), { recursive: true });
  expect(await send([steps(3)], position)).toMatch(/^2:/);
  expect([...(await contents()).keys()]).toEqual([
    "events.out.tfevents.0000000002.noisescale.mnist-1~0123456789abcdef",
  ]);
});

test("without a dir the run's name is the directory", async () => {
  await send([steps(0)]);
  expect(await readdir(root)).toEqual(["mnist-1"]);
});

test("a symbolic link out of the root is refused before anything is made behind it", async () => {
  await symlink(outside, join(root, "link"));
  const tracker = tensorboardTracker({ root });
  for (const dir of ["link", "link/a"]) {
    const opened = tracker.openRun({ dir }, context);
    await expect(opened).rejects.toBeInstanceOf(TrackerError);
    await expect(opened).rejects.toMatchObject({ retryable: false, message: expect.stringContaining("link") });
  }
  await mkdir(join(root, "inner"));
  await symlink(outside, join(root, "inner", "noise_scale"));
  await expect(tracker.openRun({ dir: "inner" }, context)).rejects.toMatchObject({ retryable: false });
  expect(await readdir(outside)).toEqual([]);
});

test("a symbolic link planted under the event file's name is not followed", async () => {
  await mkdir(directory(), { recursive: true });
  await writeFile(join(outside, "victim"), "untouched");
  await symlink(
    join(outside, "victim"),
    join(directory(), "events.out.tfevents.0000000001.noisescale.mnist-1~0123456789abcdef"),
  );
  await expect(send([steps(0)])).rejects.toBeInstanceOf(TrackerError);
  expect(await readFile(join(outside, "victim"), "utf8")).toBe("untouched");
});

test("a root that is itself a link works", async () => {
  await symlink(root, join(outside, "to-root"));
  const run = await tensorboardTracker({ root: join(outside, "to-root") }).openRun({}, context);
  await run.send(steps(0), null);
  expect(await readdir(directory())).toHaveLength(1);
});

test("a second run in the same directory is refused, and told which run is there", async () => {
  const tracker = tensorboardTracker({ root });
  await (await tracker.openRun({ dir: "shared" }, context)).send(steps(0), null);
  await expect(tracker.openRun({ dir: "shared" }, { ...context, run: "mnist-2" })).rejects.toThrow("mnist-1");
});

test("a panel that is no PNG, and a position that is none, are refused for good", async () => {
  const run = await tensorboardTracker({ root }).openRun({}, context);
  const panel = { panel: "frontier", title: "Frontier", contentType: "image/png", step: 0, timeMs: 0 } as const;
  await expect(
    run.send({ points: [], panels: [{ ...panel, bytes: Buffer.from("<svg>") }] }, null),
  ).rejects.toMatchObject({ retryable: false, message: expect.stringContaining("frontier") });
  await expect(run.send(steps(0), "../../etc/passwd:0")).rejects.toMatchObject({ retryable: false });
  expect(await readdir(directory())).toEqual([]);
});

test("another queue of the same run goes on in a file of its own, and a resend of its first delivery leaves each point once", async () => {
  const tracker = tensorboardTracker({ root });
  await (await tracker.openRun({}, context)).send(steps(0), null);
  const before = await contents();
  const later = await tracker.openRun({}, { ...context, queue: "fedcba9876543210" });
  await later.send(steps(1), null);
  await later.send(steps(1), null);
  const after = await contents();
  expect([...after.keys()]).toEqual([
    "events.out.tfevents.0000000001.noisescale.mnist-1~0123456789abcdef",
    "events.out.tfevents.0000000002.noisescale.mnist-1~fedcba9876543210",
  ]);
  for (const [name, bytes] of before) expect(after.get(name)).toEqual(bytes);
});
