import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { runDeclarationSchema } from "@noisescale/protocol";
import { RunEstimator } from "@noisescale/statistics";
import { expect, test, vi } from "vitest";
import { alertSettings } from "../src/alerts/alert-settings.ts";
import { Alerts } from "../src/alerts/alerts.ts";
import { Fold } from "../src/fold.ts";
import { Ingest } from "../src/ingest.ts";
import { refoldOutdated } from "../src/refold-outdated.ts";
import { type RunMeasurement, toObservation } from "../src/run-measurement.ts";
import { seriesRowWidth, stepColumn } from "../src/series-row.ts";
import { SqliteStore } from "../src/store/sqlite-store.ts";
import { measurement, seededUniform, shuffled } from "./measurement-source.ts";
import { silentLogger } from "./silent-logger.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

// Tens of thousands of measurements are folded.
vi.setConfig({ testTimeout: 20_000 });

interface Setup {
  readonly store: SqliteStore;
  readonly fold: Fold;
  send(measurements: readonly RunMeasurement[]): Promise<void>;
}

async function setup(file = join(temporaryDirectory(), "store.sqlite")): Promise<Setup> {
  const store = new SqliteStore(file);
  const fold = new Fold();
  const trackers = new Map();
  const alerts = new Alerts({ settings: alertSettings({}), trackers, webhooks: new Map(), publicUrl: undefined });
  const ingest = new Ingest(store, fold, { trackers, alerts, layerLimit: 10, committed: () => undefined });
  if ((await store.findRun("a")) === undefined) {
    const declaration = runDeclarationSchema.parse({ project: "p" });
    await store.transaction((transaction) => transaction.createRun("a", declaration, 1));
  }
  return {
    store,
    fold,
    async send(measurements) {
      const records = measurements.map((one, index) => ({ index, measurement: one }));
      await ingest.submit({ run: "a", records, full: false });
    },
  };
}

/** State and series that a run ends with. */
async function outcome({
  store,
}: Setup): Promise<{ state: Uint8Array | undefined; steps: number[]; values: number[] }> {
  const run = await store.findRun("a");
  const steps: number[] = [];
  const values: number[] = [];
  for await (const { rows } of store.series(run?.id ?? 0, { from: 0, to: Number.MAX_SAFE_INTEGER })) {
    values.push(...rows);
    for (let at = stepColumn; at < rows.length; at += seriesRowWidth) steps.push(rows[at] as number);
  }
  return { state: run?.fold?.state, steps, values };
}

/** State after the measurements were folded directly, in their order. */
function directState(measurements: readonly RunMeasurement[]): Uint8Array {
  const estimator = new RunEstimator({});
  for (const one of measurements) estimator.add(toObservation(one));
  return estimator.serialize();
}

const range = (from: number, to: number, attempt = 0): RunMeasurement[] =>
  Array.from({ length: to - from }, (_, i) => measurement(from + i, attempt));

test("measurements in order give the state that the estimator alone has after them, bit for bit", async () => {
  const one = await setup();
  const all = range(0, 300);
  for (let at = 0; at < all.length; at += 7) await one.send(all.slice(at, at + 7));
  const { state, steps } = await outcome(one);
  expect(state).toEqual(directState(all));
  expect(steps).toEqual(all.map(({ step }) => step));
  await one.store.close();
});

test.each([1, 2, 3])(
  "any order of delivery in chunks gives the state and series of the order of steps (seed %i)",
  async (seed) => {
    const uniform = seededUniform(seed);
    const all = range(0, 900);
    const one = await setup();
    const order = shuffled(all, uniform);
    while (order.length > 0) await one.send(order.splice(0, 1 + Math.floor(uniform() * 200)));
    const inOrder = await setup();
    await inOrder.send(all);
    const result = await outcome(one);
    expect(result).toEqual(await outcome(inOrder));
    expect(result.state).toEqual(directState(all));
    await one.store.close();
    await inOrder.store.close();
  },
);

test("a late step is folded again from the checkpoint before it, over more than one checkpoint", async () => {
  const one = await setup();
  const all = range(0, 20_500);
  const late = [10_400, 20_100];
  await one.send(all.filter(({ step }) => !late.includes(step)));
  // A new process: nothing of the run is held in memory.
  one.fold.forgetAll();
  for (const step of late) await one.send([measurement(step)]);
  expect((await outcome(one)).state).toEqual(directState(all));
  await one.store.close();
});

test("the highest attempt wins from its first step on, in whatever order attempts arrive", async () => {
  const first = range(0, 120);
  const second = range(100, 160, 5);
  const third = range(90, 130, 9);
  const expected = [...first.slice(0, 90), ...third];
  for (const order of [
    [first, second, third],
    [third, first, second],
    [second, third, first],
  ]) {
    const one = await setup();
    for (const part of order) await one.send(part);
    const { state, steps } = await outcome(one);
    expect(state).toEqual(directState(expected));
    expect(steps).toEqual(expected.map(({ step }) => step));
    await one.store.close();
  }
});

test("an attempt that begins earlier than it first seemed takes over from there", async () => {
  const one = await setup();
  await one.send(range(0, 50));
  await one.send(range(40, 60, 3));
  await one.send(range(20, 40, 3));
  expect((await outcome(one)).state).toEqual(directState([...range(0, 20), ...range(20, 60, 3)]));
  await one.store.close();
});

test("a collector that starts anew goes on with the same bits", async () => {
  const file = join(temporaryDirectory(), "store.sqlite");
  const all = range(0, 400);
  for (let at = 0; at < all.length; at += 100) {
    const one = await setup(file);
    await one.send(all.slice(at, at + 100));
    await one.store.close();
  }
  const last = await setup(file);
  expect((await outcome(last)).state).toEqual(directState(all));
  await last.store.close();
});

test("a state of another version of the statistics is folded again from the measurements", async () => {
  const one = await setup();
  const all = range(0, 200);
  await one.send(all);
  const before = await outcome(one);
  const otherVersion = new Uint8Array(before.state ?? []);
  new DataView(otherVersion.buffer).setFloat64(0, RunEstimator.stateVersion + 1, true);
  await one.store.transaction(async (transaction) => {
    const run = await transaction.lockRun("a");
    if (run?.fold === undefined) throw new Error("the run has a fold");
    await transaction.saveFold(run.id, { ...run.fold, state: otherVersion });
  });
  await refoldOutdated(one.store, one.fold, silentLogger);
  expect(await outcome(one)).toEqual(before);
  await one.store.close();
});

test("a run that was folded before runs were watched is folded again, and then watched", async () => {
  const file = join(temporaryDirectory(), "store.sqlite");
  const one = await setup(file);
  await one.send(range(0, 200));
  const before = await one.store.findRun("a");
  await one.store.close();
  const database = new DatabaseSync(file);
  database.exec("UPDATE runs SET fold_watch = NULL; UPDATE checkpoints SET watch = NULL");
  database.close();
  const next = await setup(file);
  expect((await next.store.findRun("a"))?.fold?.watch).toHaveLength(0);
  await refoldOutdated(next.store, next.fold, silentLogger);
  const { version: _, ...after } = (await next.store.findRun("a")) ?? {};
  expect(before).toMatchObject(after);
  await next.store.close();
});

test("series rows of a version that knew fewer columns are written anew with the state", async () => {
  const file = join(temporaryDirectory(), "store.sqlite");
  const one = await setup(file);
  await one.send(range(0, 200));
  const before = await outcome(one);
  await one.store.close();
  const database = new DatabaseSync(file);
  for (const { chunk, rows } of database.prepare("SELECT chunk, rows FROM series").all()) {
    const narrow = (rows as Uint8Array).subarray(0, (rows as Uint8Array).length - 48);
    database.prepare("UPDATE series SET rows = ? WHERE chunk = ?").run(narrow, chunk as number);
  }
  const otherVersion = new Uint8Array(before.state ?? []);
  new DataView(otherVersion.buffer).setFloat64(0, RunEstimator.stateVersion - 1, true);
  database.prepare("UPDATE runs SET fold_state = ?").run(otherVersion);
  database.close();
  const next = await setup(file);
  await refoldOutdated(next.store, next.fold, silentLogger);
  expect(await outcome(next)).toEqual(before);
  await next.store.close();
});

test("a request whose fold fails leaves nothing, and takes no request beside it with it", async () => {
  const one = await setup();
  // The estimator refuses b = B, which the routes never let through.
  const broken = { ...measurement(3), smallBatchSize: 256 };
  const results = await Promise.allSettled([one.send(range(0, 3)), one.send([broken]), one.send(range(4, 30))]);
  expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
  expect((await outcome(one)).state).toEqual(directState([...range(0, 3), ...range(4, 30)]));
  await one.store.close();
});
