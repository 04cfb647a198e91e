import { appendFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type BatchSizeChange, type Client, type ClientOptions, createClient } from "../src/index.ts";
import { answer, problem, ScriptedCollector, snapshotAt } from "./scripted-collector.ts";

const measurement = (step: number) => ({
  step,
  time_ms: 1e12 + step,
  small: { batch_size: 16, squared_norm: 2, count: 4 },
  big: { batch_size: 64, squared_norm: 1 },
});

const steps = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => from + index);

let collector: ScriptedCollector;
let folder: string;
let warnings: string[];
const clients: Client[] = [];

beforeEach(async () => {
  collector = new ScriptedCollector();
  await collector.listen();
  folder = await mkdtemp(join(tmpdir(), "noisescale-client-"));
  warnings = [];
});

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close({ deadlineMs: 0 })));
  await collector.close();
  await rm(folder, { recursive: true });
});

/** Retries are short, so that the tests are. */
function clientOf(options: Partial<ClientOptions> = {}): Client {
  const client = createClient({
    url: collector.url,
    run: "run-1",
    declaration: { project: "p" },
    retryFirstMs: 5,
    retryMaxMs: 20,
    onWarning: (message) => warnings.push(message),
    ...options,
  });
  clients.push(client);
  return client;
}

describe("the client", () => {
  it("declares the run, then delivers the measurements in one batch and gives the collector's snapshot back", async () => {
    const client = clientOf();
    for (const step of steps(0, 5)) client.record(measurement(step));
    client.event({ step: 4, time_ms: 1, kind: "finished", code: "run-ended" });
    expect(collector.received).toEqual([]);
    expect(await client.flush()).toBe(true);
    expect(collector.paths).toEqual(["PUT run-1", "POST run-1/measurements", "POST run-1/events"]);
    expect(collector.received[0]?.body).toEqual({ project: "p" });
    expect(collector.received[1]?.body.measurements?.[0]).toEqual({ ...measurement(0), attempt: client.attempt });
    expect(collector.received[2]?.body).toMatchObject({ attempt: client.attempt, events: [{ code: "run-ended" }] });
    expect(client.snapshot?.step).toBe(4);
    expect(client.stats).toMatchObject({ recorded: 6, delivered: 5, waiting: 0, dropped: 0, state: "idle" });
  });

  it("counts what a collector of a later version took, and says that its estimates are not understood", async () => {
    collector.script.push(
      answer(201, {}),
      answer(200, { accepted: 2, duplicates: 0, rejected: [], snapshot: { ...snapshotAt(1), colour: "red" } }),
    );
    const client = clientOf();
    for (const step of steps(0, 2)) client.record(measurement(step));
    expect(await client.flush()).toBe(true);
    expect(client.stats).toMatchObject({ delivered: 2, waiting: 0, failures: 0 });
    expect(client.snapshot).toBeUndefined();
    expect(warnings.join()).toContain("of another version");
  });

  it("takes its attempt from the start of the process", () => {
    expect(clientOf().attempt).toBe(clientOf().attempt);
    expect(Math.abs(clientOf().attempt - (Date.now() - process.uptime() * 1000))).toBeLessThan(60_000);
  });

  it("delivers by itself once enough wait, and else after flushEveryMs", async () => {
    const client = clientOf({ batchSize: 3, flushEveryMs: 10 });
    client.record(measurement(0));
    await collector.until(() => collector.steps.length === 1);
    for (const step of steps(1, 4)) client.record(measurement(step));
    await collector.until(() => collector.steps.length === 4);
    expect(collector.steps).toEqual([0, 1, 2, 3]);
    expect(collector.paths.filter((path) => path.startsWith("PUT"))).toHaveLength(1);
  });

  it("sends at most batchSize measurements in a request, in order", async () => {
    const client = clientOf({ batchSize: 4 });
    for (const step of steps(0, 10)) client.record(measurement(step));
    await client.flush();
    expect(collector.steps).toEqual(steps(0, 10));
    expect(collector.received.map((request) => request.body.measurements?.length)).toEqual([undefined, 4, 4, 2]);
  });

  it("sends the same measurements again, in order, after answers that say to come back", async () => {
    collector.script.push(answer(201, {}), problem(503, "starting"), problem(429, "slow down"), (_request, response) =>
      response.destroy(),
    );
    const client = clientOf();
    for (const step of steps(0, 3)) client.record(measurement(step));
    expect(await client.flush()).toBe(true);
    expect(collector.steps).toEqual([...steps(0, 3), ...steps(0, 3), ...steps(0, 3), ...steps(0, 3)]);
    expect(client.stats).toMatchObject({ delivered: 3, failures: 3, state: "idle" });
    expect(warnings).toEqual([expect.stringMatching(/does not answer \(503 Service Unavailable: starting\)/)]);
  });

  it("waits as long as Retry-After says, even when flushed", async () => {
    collector.script.push(problem(503, "busy", { "retry-after": "1" }));
    const client = clientOf();
    client.record(measurement(0));
    const start = performance.now();
    expect(await client.flush({ deadlineMs: 300 })).toBe(false);
    expect(collector.paths).toEqual(["PUT run-1"]);
    expect(await client.flush()).toBe(true);
    // Timers may fire a few milliseconds early against the clock.
    expect(performance.now() - start).toBeGreaterThan(980);
  });

  it("keeps measurements in order when the collector comes up late", async () => {
    const { url } = collector;
    await collector.close();
    const client = clientOf({ url, flushEveryMs: 5 });
    for (const step of steps(0, 50)) client.record(measurement(step));
    expect(await client.flush({ deadlineMs: 50 })).toBe(false);
    expect(client.stats.state).toBe("away");
    collector = new ScriptedCollector();
    await collector.listen(Number(new URL(url).port));
    for (const step of steps(50, 60)) client.record(measurement(step));
    expect(await client.flush()).toBe(true);
    expect(collector.steps).toEqual(steps(0, 60));
  });

  it("stops for good at a refusal, and says once what the collector said", async () => {
    collector.script.push(
      answer(400, {
        type: "about:blank",
        title: "Bad",
        status: 400,
        detail: "The declaration is not understood.",
        errors: [{ path: "trackers.0.name", message: "is not configured" }],
      }),
    );
    const client = clientOf();
    client.record(measurement(0));
    expect(await client.flush()).toBe(false);
    client.record(measurement(1));
    expect(await client.flush()).toBe(false);
    expect(collector.paths).toEqual(["PUT run-1"]);
    expect(client.stats).toMatchObject({ state: "stopped", dropped: 1, waiting: 1 });
    expect(warnings).toEqual([
      expect.stringMatching(
        /refused the declaration of run run-1.*not understood\. \(trackers\.0\.name: is not configured\)/,
      ),
    ]);
  });

  it("declares the run again when the collector has lost it", async () => {
    const client = clientOf();
    client.record(measurement(0));
    await client.flush();
    collector.script.push(problem(404, "unknown run"));
    client.record(measurement(1));
    expect(await client.flush()).toBe(true);
    expect(collector.paths.slice(2)).toEqual(["POST run-1/measurements", "PUT run-1", "POST run-1/measurements"]);
    expect(client.stats.delivered).toBe(2);
  });

  it("halves a batch that is too large, and leaves out only the record that is too large alone", async () => {
    const client = clientOf({ batchSize: 4 });
    collector.script.push(
      answer(201, {}),
      problem(413, "4 is too much"),
      problem(413, "2 is too much"),
      problem(413, "1 is too much"),
    );
    for (const step of steps(0, 4)) client.record(measurement(step));
    expect(await client.flush()).toBe(true);
    expect(collector.received.map((request) => request.body.measurements?.map(({ step }) => step))).toEqual([
      undefined,
      [0, 1, 2, 3],
      [0, 1],
      [0],
      [1],
      [2, 3],
    ]);
    expect(client.stats).toMatchObject({ delivered: 3, dropped: 1 });
    expect(warnings).toEqual([expect.stringMatching(/Step 0 of run run-1 is left out/)]);
  });

  it("counts what the collector rejects, and warns once with step, field and reason", async () => {
    const rejected = [{ index: 1, path: "small.squared_norm", message: "must not be negative" }];
    collector.script.push(
      answer(201, {}),
      answer(200, { accepted: 1, duplicates: 0, rejected, snapshot: snapshotAt(0) }),
    );
    const client = clientOf();
    client.record(measurement(0));
    client.record(measurement(7));
    expect(await client.flush()).toBe(true);
    expect(client.stats).toMatchObject({ delivered: 1, rejected: 1 });
    expect(warnings).toEqual(["The collector refused step 7 of run run-1: small.squared_norm must not be negative."]);
  });

  it("thins evenly what waits when there is no room, and reports how many it dropped", async () => {
    collector.script.push(problem(503, "away"));
    const client = clientOf({ maxQueue: 8, flushEveryMs: 60_000 });
    for (const step of steps(0, 10)) client.record(measurement(step));
    expect(await client.flush()).toBe(true);
    expect(collector.steps).toEqual([0, 2, 4, 6, 8, 9]);
    expect(client.stats).toMatchObject({ recorded: 10, delivered: 6, dropped: 4 });
    expect(collector.received.at(-1)?.body).toMatchObject({
      events: [{ kind: "dropped", code: "queue-full", count: 4, step: 8 }],
    });
  });

  it("ends at its deadline while a request hangs, and does not throw from record afterwards", async () => {
    collector.script.push(() => undefined);
    const client = clientOf({ requestTimeoutMs: 100 });
    client.record(measurement(0));
    expect(await client.close({ deadlineMs: 30 })).toBe(false);
    client.record(measurement(1));
    expect(client.stats).toMatchObject({ state: "closed", dropped: 2, waiting: 0 });
    expect(warnings.at(-1)).toMatch(/1 records are lost/);
  });

  it("refuses names and declarations that can never be sent", () => {
    expect(() => clientOf({ run: "../x" })).toThrow(/^run "\.\.\/x": must be 1 to 128 characters/);
    expect(() => clientOf({ declaration: { project: "p", batch_min: 9, batch_max: 3 } })).toThrow(
      /^declaration.batch_min: must not be above batch_max$/,
    );
    expect(() => clientOf({ batchSizeLimits: { microBatch: 0 } })).toThrow(/^batchSizeLimits.microBatch: must be/);
    expect(() => clientOf({ url: "localhost" })).toThrow(/^url "localhost": must be an address/);
  });
});

describe("a training loop that follows the recommendation", () => {
  const recommending = (step: number, recommended: number) => ({
    ...snapshotAt(step),
    attempt: Math.round(performance.timeOrigin),
    identifiable: true,
    recommendation: {
      ...snapshotAt(step).recommendation,
      batch_size: recommended,
      batch_size_low: recommended,
      batch_size_high: recommended,
      learning_rate_factor: 2,
    },
  });
  const taken = (step: number, recommended: number) =>
    answer(200, { accepted: 1, duplicates: 0, rejected: [], snapshot: recommending(step, recommended) });

  it("is told batch size, accumulation and factor, and is left alone where the batch size is right", async () => {
    const changes: BatchSizeChange[] = [];
    const client = clientOf({
      declaration: { project: "p", optimizer: "sgd" },
      batchSizeLimits: { microBatch: 16, agreeingMeasurements: 0 },
      onRecommendation: (change) => changes.push(change),
    });
    collector.script.push(answer(201, {}), taken(0, 70), taken(1, 128));
    client.record(measurement(0));
    await client.flush();
    expect(changes).toEqual([]);
    client.record(measurement(1));
    await client.flush();
    expect(changes).toEqual([
      { batchSize: 128, accumulation: 8, learningRateFactor: expect.closeTo(2, 12), snapshot: client.snapshot },
    ]);
  });

  it.each([
    ["rejects", () => Promise.reject(new Error("no memory"))],
    [
      "throws",
      () => {
        throw new Error("no memory");
      },
    ],
  ])("may fail: where it %s, training and delivery go on, with one warning", async (_, onRecommendation) => {
    const client = clientOf({ onRecommendation, batchSizeLimits: { measurementsBetween: 0, agreeingMeasurements: 0 } });
    collector.script.push(answer(201, {}), taken(0, 512), taken(1, 512));
    for (const step of [0, 1]) {
      client.record(measurement(step));
      expect(await client.flush()).toBe(true);
    }
    expect(client.stats).toMatchObject({ delivered: 2, failures: 0 });
    expect(warnings).toEqual(["onRecommendation failed, and the training goes on: Error: no memory"]);
  });

  it("is not asked to change anything once it is over", async () => {
    const onRecommendation = vi.fn();
    const client = clientOf({ onRecommendation });
    collector.script.push(answer(201, {}), taken(0, 512));
    client.record(measurement(0));
    expect(await client.close()).toBe(true);
    expect(client.snapshot?.recommendation.batch_size).toBe(512);
    expect(onRecommendation).not.toHaveBeenCalled();
  });
});

describe("the spool", () => {
  const runFolder = () => join(folder, "run-1");
  /** After a failure only a flush comes back within the test. */
  const patient = { flushEveryMs: 60_000, retryFirstMs: 60_000, retryMaxMs: 60_000 };

  it("keeps measurements on disk while the collector is away and delivers them before newer ones", async () => {
    collector.script.push(problem(503, "away"));
    const client = clientOf({ spoolDirectory: folder, ...patient });
    for (const step of steps(0, 5)) client.record(measurement(step));
    client.event({ step: 4, time_ms: 1, kind: "dropped", code: "not-finite" });
    expect(await client.flush({ deadlineMs: 1 })).toBe(false);
    await vi.waitFor(() => expect(client.stats).toMatchObject({ spooled: 6, waiting: 0 }));
    const [file] = await readdir(runFolder());
    expect((await readFile(join(runFolder(), file ?? ""), "utf8")).trim().split("\n")).toHaveLength(6);
    client.record(measurement(5));
    expect(await client.flush()).toBe(true);
    expect(collector.steps).toEqual(steps(0, 6));
    expect(await readdir(runFolder())).toEqual([]);
  });

  it("keeps what could not be delivered before the end for the next process, which skips a half-written line", async () => {
    collector.script.push(problem(503, "away"), problem(503, "away"));
    const first = clientOf({ spoolDirectory: folder, ...patient });
    for (const step of steps(0, 3)) first.record(measurement(step));
    expect(await first.close({ deadlineMs: 1 })).toBe(false);
    const [file] = await readdir(runFolder());
    await appendFile(join(runFolder(), file ?? ""), '{"measurement":{"step":3,"ti');

    collector.script.length = 0;
    collector.received.length = 0;
    const second = clientOf({ spoolDirectory: folder });
    second.record(measurement(3));
    expect(await second.flush()).toBe(true);
    expect(collector.steps).toEqual(steps(0, 4));
    expect(warnings.at(-1)).toMatch(/1 half-written lines/);
    expect(await readdir(runFolder())).toEqual([]);
  });

  it("delivers the attempts of earlier processes first, and leaves alone what a living process writes", async () => {
    const line = (step: number, attempt: number) =>
      `${JSON.stringify({ measurement: { ...measurement(step), attempt } })}\n`;
    const name = (attempt: number, processId: number) =>
      `${String(attempt).padStart(15, "0")}-${processId}-000000.ndjson`;
    // Linux gives no process a number above 4,194,304; number 1 always lives.
    const gone = 4_194_305;
    await mkdir(runFolder(), { recursive: true });
    await writeFile(join(runFolder(), name(20, gone)), line(2, 20) + line(3, 20));
    await writeFile(join(runFolder(), name(10, gone)), line(0, 10) + line(1, 10));
    await writeFile(join(runFolder(), name(15, 1)), line(9, 15));
    const client = clientOf({ spoolDirectory: folder });
    client.record(measurement(4));
    expect(await client.flush()).toBe(true);
    const received = collector.received.flatMap((request) => request.body.measurements ?? []);
    expect(received.map(({ attempt, step }) => [attempt, step])).toEqual([
      [10, 0],
      [10, 1],
      [20, 2],
      [20, 3],
      [client.attempt, 4],
    ]);
    expect(await readdir(runFolder())).toEqual([name(15, 1)]);
  });

  it("counts what does not fit, and goes on", async () => {
    collector.script.push(problem(503, "away"));
    const client = clientOf({ spoolDirectory: folder, maxSpoolBytes: 400, ...patient });
    for (const step of steps(0, 10)) client.record(measurement(step));
    await client.flush({ deadlineMs: 1 });
    await vi.waitFor(() => expect(client.stats).toMatchObject({ spooled: 2, dropped: 8, waiting: 0 }));
    expect(await client.flush()).toBe(true);
    expect(collector.steps).toEqual([0, 1]);
    expect(warnings.at(-1)).toMatch(/spool of run run-1 .* is full/);
  });

  it("keeps measurements in memory where the directory cannot be written", async () => {
    collector.script.push(problem(503, "away"));
    await writeFile(join(folder, "run-1"), "a file in the way");
    const client = clientOf({ spoolDirectory: folder, ...patient });
    client.record(measurement(0));
    await client.flush({ deadlineMs: 1 });
    await vi.waitFor(() => expect(warnings.at(-1)).toMatch(/Cannot write to the spool/));
    expect(client.stats).toMatchObject({ spooled: 0, waiting: 1 });
    expect(await client.flush()).toBe(true);
    expect(collector.steps).toEqual([0]);
    await rm(join(folder, "run-1"));
  });
});
