import { join } from "node:path";
import { runDeclarationSchema } from "@noisescale/protocol";
import { expect, onTestFinished, test } from "vitest";
import { type AlertRulesInput, alertSettings } from "../src/alerts/alert-settings.ts";
import { Alerts } from "../src/alerts/alerts.ts";
import { SilenceWatch } from "../src/alerts/silence-watch.ts";
import { Fold } from "../src/fold.ts";
import { Ingest } from "../src/ingest.ts";
import { RunSilence } from "../src/run-silence.ts";
import { SqliteStore } from "../src/store/sqlite-store.ts";
import { measurement, wireMeasurement } from "./measurement-source.ts";
import { silentLogger } from "./silent-logger.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

const minute = 60_000;

interface Watched {
  readonly store: SqliteStore;
  /** Sends measurements that lie so far apart [ms], as of now. */
  send(from: number, to: number, everyMs?: (step: number) => number, attempt?: number): Promise<void>;
  /** Looks as if so much time had gone by since [ms]. */
  lookAfter(ms: number): Promise<void>;
  titles(): Promise<string[]>;
}

async function watched(rules: AlertRulesInput = {}): Promise<Watched> {
  const store = new SqliteStore(join(temporaryDirectory(), "store.sqlite"));
  onTestFinished(() => store.close());
  const trackers = new Map();
  const settings = alertSettings(rules);
  const alerts = new Alerts({ settings, trackers, webhooks: new Map(), publicUrl: undefined });
  const ingest = new Ingest(store, new Fold(settings), {
    trackers,
    alerts,
    layerLimit: 10,
    committed: () => undefined,
  });
  const declaration = runDeclarationSchema.parse({ project: "p" });
  await store.transaction((transaction) => transaction.createRun("a", declaration, 1));
  let shiftMs = 0;
  const watch = new SilenceWatch({
    store,
    silence: new RunSilence(store, settings),
    alerts,
    logger: silentLogger,
    raised: () => undefined,
    now: () => Date.now() + shiftMs,
  });
  let timeMs = 1_000_000;
  return {
    store,
    async send(from, to, everyMs = () => 1000, attempt = 0) {
      const records = Array.from({ length: to - from }, (_, index) => {
        const step = from + index;
        timeMs += everyMs(step);
        const wire = { ...wireMeasurement(step, attempt), time_ms: timeMs };
        return { index, measurement: measurement(step, attempt, wire) };
      });
      await ingest.submit({ run: "a", records, full: false });
    },
    async lookAfter(ms) {
      shiftMs = ms;
      await watch.look();
    },
    titles: async () =>
      (await store.alerts({ limit: 100 }))
        .filter(({ rule }) => rule === "measurements-stopped")
        .map(({ title, endedStep }) => `${title}${endedStep === null ? "" : ` (until step ${endedStep})`}`),
  };
}

test("a run that falls silent is told once, until it is heard of again", async () => {
  const { send, lookAfter, titles } = await watched();
  await send(0, 100);
  await lookAfter(4 * minute);
  expect(await titles()).toEqual([]);
  await lookAfter(6 * minute);
  await lookAfter(60 * minute);
  expect(await titles()).toEqual(["No measurement for 6 minutes"]);
  await send(100, 110);
  expect(await titles()).toEqual(["No measurement for 6 minutes (until step 109)"]);
  await lookAfter(8 * minute);
  expect(await titles()).toEqual(["No measurement for 6 minutes (until step 109)", "No measurement for 8 minutes"]);
});

test("neither a run that has ended nor one that never measured is silent", async () => {
  const { store, send, lookAfter, titles } = await watched();
  await lookAfter(600 * minute);
  expect(await titles()).toEqual([]);
  await send(0, 10);
  for (const state of ["finished", "failed"] as const) {
    await store.transaction(async (transaction) => {
      const run = await transaction.lockRun("a");
      await transaction.setState(run?.id ?? 0, state);
    });
    await lookAfter(600 * minute);
    expect(await titles()).toEqual([]);
  }
});

test("a run that pauses for long, as for its evaluations, may be silent three times as long", async () => {
  const { send, lookAfter, titles } = await watched();
  await send(0, 200, (step) => (step % 50 === 49 ? 10 * minute : 1000));
  await lookAfter(29 * minute);
  expect(await titles()).toEqual([]);
  await lookAfter(31 * minute);
  expect(await titles()).toEqual(["No measurement for 31 minutes"]);
});

test("the pause between two attempts is none of the training's", async () => {
  const { send, lookAfter, titles } = await watched();
  await send(0, 50);
  await send(40, 80, (step) => (step === 40 ? 600 * minute : 1000), 5);
  await lookAfter(6 * minute);
  expect(await titles()).toEqual(["No measurement for 6 minutes"]);
});

test("a project sets its own silence, or none", async () => {
  const quick = await watched({ silence_seconds: 20 });
  await quick.send(0, 10);
  await quick.lookAfter(10_000);
  expect(await quick.titles()).toEqual([]);
  await quick.lookAfter(25_000);
  expect(await quick.titles()).toEqual(["No measurement for 25 seconds"]);
  const off = await watched({ silence_seconds: 20, off: ["measurements-stopped"] });
  await off.send(0, 10);
  await off.lookAfter(600 * minute);
  expect(await off.titles()).toEqual([]);
});
