import {
  type CalibrationAnswer,
  type GroupFrontierAnswer,
  measurementSchema,
  runDeclarationSchema,
} from "@noisescale/protocol";
import { describe, expect, test } from "vitest";
import { toRunMeasurement } from "../../src/run-measurement.ts";
import { chunkRows, seriesRowWidth, stepColumn } from "../../src/series-row.ts";
import type { AlertQuery, NewAlert, QueueRow, RunRow, Store } from "../../src/store/store.ts";
import { measurement, wireMeasurement } from "../measurement-source.ts";

const declaration = runDeclarationSchema.parse({
  project: "p",
  trackers: [{ name: "memory", run: { id: "x" } }],
  tags: { ["__proto__"]: "a tag", "<img src=x onerror=alert(1)>": "../../x" },
});
const everyStep = { from: 0, to: Number.MAX_SAFE_INTEGER };

function makeRun(store: Store, run = "a"): Promise<RunRow> {
  return store.transaction((transaction) => transaction.createRun(run, declaration, 5));
}

function seriesRows(first: number, count: number): Float64Array {
  const rows = new Float64Array(count * seriesRowWidth);
  for (let i = 0; i < count; i += 1) rows[i * seriesRowWidth + stepColumn] = (first + i) * 10;
  return rows;
}

async function steps(store: Store, runId: number, range = everyStep): Promise<number[]> {
  const found: number[] = [];
  for await (const { rows } of store.series(runId, range)) {
    for (let at = 0; at < rows.length; at += seriesRowWidth) found.push(rows[at + stepColumn] as number);
  }
  return found;
}

/** What every store does. @param open - a store on the same data each time it is called within a test */
export function describeStore(name: string, harness: () => { open(): Promise<Store> }): void {
  describe(name, () => {
    test("gives a run back as it was declared, whatever its tags are called, after it was opened again", async () => {
      const { open } = harness();
      const first = await open();
      await makeRun(first);
      await first.close();
      const store = await open();
      expect(await store.findRun("a")).toEqual({
        id: 1,
        run: "a",
        declaration,
        state: "live",
        createdMs: 5,
        version: 0,
        fold: undefined,
      });
      expect(await store.findRun("b")).toBeUndefined();
      await store.close();
    });

    test("lists the runs of one group, by its whole name", async () => {
      const { open } = harness();
      const store = await open();
      await store.transaction(async (transaction) => {
        await transaction.createRun("one", { ...declaration, group: "g" }, 1);
        await transaction.createRun("two", { ...declaration, group: "__proto__" }, 2);
        await transaction.createRun("three", { ...declaration, group: "g", project: "q" }, 3);
        await transaction.createRun("four", declaration, 4);
      });
      const named = async (group?: string) => (await store.listRuns(group)).map(({ run }) => run);
      expect(await named()).toEqual(["four", "three", "two", "one"]);
      expect(await named("g")).toEqual(["three", "one"]);
      expect(await named("__proto__")).toEqual(["two"]);
      expect(await named("G")).toEqual([]);
      await store.close();
    });

    test("undoes a transaction that throws, and only the nested part that throws", async () => {
      const { open } = harness();
      const store = await open();
      await expect(
        store.transaction(async (transaction) => {
          await transaction.createRun("gone", declaration, 1);
          throw new Error("no");
        }),
      ).rejects.toThrow("no");
      await store.transaction(async (transaction) => {
        await transaction.createRun("kept", declaration, 1);
        await expect(
          transaction.nested(async () => {
            await transaction.createRun("gone", declaration, 1);
            throw new Error("no");
          }),
        ).rejects.toThrow("no");
      });
      expect((await store.listRuns()).map(({ run }) => run)).toEqual(["kept"]);
      await store.close();
    });

    test("runs transactions one after the other, so that none sees half of another", async () => {
      const { open } = harness();
      const store = await open();
      const { id } = await makeRun(store);
      const seen: number[] = [];
      await Promise.all(
        Array.from({ length: 5 }, () =>
          store.transaction(async (transaction) => {
            const before = await transaction.lockRun("a");
            await Promise.resolve();
            await transaction.saveFold(id, undefined);
            seen.push(before?.version ?? -1);
          }),
        ),
      );
      expect(seen).toEqual([0, 1, 2, 3, 4]);
      await store.close();
    });

    test("counts a measurement once, and lets the first of two with other values stand", async () => {
      const { open } = harness();
      const store = await open();
      const { id } = await makeRun(store);
      const one = measurement(1);
      const outcomes = await store.transaction((transaction) =>
        transaction.insertMeasurements(id, [one, one, { ...one, loss: 9 }, measurement(1, 7), measurement(2)]),
      );
      expect(outcomes).toEqual(["new", "duplicate", "conflict", "new", "new"]);
      const stored = await Array.fromAsync(store.measurements(id));
      expect(stored).toEqual([one, measurement(2), measurement(1, 7)]);
      await store.transaction(async (transaction) => {
        expect(await transaction.attemptStarts(id)).toEqual([
          { attempt: 0, firstStep: 1 },
          { attempt: 7, firstStep: 1 },
        ]);
        expect(await Array.fromAsync(transaction.measurements(id, 0, { from: 2, to: 9 }))).toEqual([measurement(2)]);
      });
      await store.close();
    });

    test("keeps fold and checkpoints bit for bit", async () => {
      const { open } = harness();
      const store = await open();
      const { id } = await makeRun(store);
      const at = (step: number) => ({
        attempt: 1,
        step,
        timeMs: 7.5,
        measurements: step,
        state: new Uint8Array([step, 0, 255]),
        watch: new Uint8Array([255, step]),
      });
      await store.transaction(async (transaction) => {
        await transaction.saveFold(id, at(30));
        for (const step of [10, 20, 30]) await transaction.putCheckpoint(id, at(step));
        expect(await transaction.checkpointBefore(id, 10)).toBeUndefined();
        expect(await transaction.checkpointBefore(id, 25)).toEqual(at(20));
        await transaction.deleteCheckpointsFrom(id, 20);
        expect(await transaction.checkpointBefore(id, 99)).toEqual(at(10));
      });
      expect(await store.findRun("a")).toMatchObject({ version: 1, fold: at(30) });
      await store.close();
    });

    test("replaces the series' rows from any place on, over chunks", async () => {
      const { open } = harness();
      const store = await open();
      const { id } = await makeRun(store);
      const count = 3 * chunkRows + 5;
      await store.transaction((transaction) => transaction.writeSeries(id, 0, seriesRows(0, count)));
      expect(await steps(store, id)).toEqual(Array.from({ length: count }, (_, i) => i * 10));
      await store.transaction((transaction) => transaction.writeSeries(id, chunkRows + 2, seriesRows(1000, 3)));
      const expected = [...Array(chunkRows + 2).keys(), 1000, 1001, 1002].map((i) => i * 10);
      expect(await steps(store, id)).toEqual(expected);
      expect(await store.seriesCount(id, everyStep)).toBe(chunkRows + 5);
      const rows = await store.seriesRows(id, [0, chunkRows + 4, chunkRows + 5]);
      expect(rows.map((row) => row[stepColumn])).toEqual([0, 10_020]);
      expect(await steps(store, id, { from: 10_000, to: 10_000 })).toContain(10_000);
      await store.transaction((transaction) => transaction.writeSeries(id, 0, new Float64Array(0)));
      expect(await steps(store, id)).toEqual([]);
      await store.close();
    });

    test("counts an event once that is sent twice", async () => {
      const { open } = harness();
      const store = await open();
      const { id } = await makeRun(store);
      const event = { step: 3, time_ms: 1, kind: "dropped", code: "not-finite", count: 4 } as const;
      for (const step of [3, 3, 8]) {
        await store.transaction((transaction) => transaction.insertEvents(id, 0, [{ ...event, step }]));
      }
      expect(await store.eventCounts(id)).toEqual([
        { kind: "dropped", code: "not-finite", count: 8, firstStep: 3, lastStep: 8 },
      ]);
      await store.close();
    });

    test("leaves nothing of a deleted run, and gives its number to no other", async () => {
      const { open } = harness();
      const store = await open();
      const { id } = await makeRun(store);
      await store.transaction(async (transaction) => {
        await transaction.insertMeasurements(id, [measurement(1)]);
        await transaction.writeSeries(id, 0, seriesRows(0, 3));
        await transaction.deleteRun(id);
      });
      const again = await makeRun(store);
      expect(again.id).not.toBe(id);
      expect(await Array.fromAsync(store.measurements(id))).toEqual([]);
      expect(await steps(store, id)).toEqual([]);
      await store.close();
    });

    describe("alerts", () => {
      const alert = (step: number, more: Partial<NewAlert> = {}): NewAlert => ({
        attempt: 3,
        step,
        timeMs: 10 * step,
        rule: "signal-lost",
        severity: "warning",
        sent: true,
        title: `<img src=x onerror=alert(1)> ${step}`,
        text: "naïve ≥ 310",
        endedStep: null,
        endedTimeMs: null,
        ...more,
      });
      const ended = (step: number) => ({ endedStep: step, endedTimeMs: step });

      test("gives the history back as it was raised, by number, project and run", async () => {
        const { open } = harness();
        const store = await open();
        const { id } = await makeRun(store);
        const other = await store.transaction((transaction) =>
          transaction.createRun("b", runDeclarationSchema.parse({ project: "q", name: "The <b>" }), 6),
        );
        const made = await store.transaction(async (transaction) => [
          ...(await transaction.insertAlerts(id, [alert(1), alert(2, ended(2))])),
          ...(await transaction.insertAlerts(other.id, [alert(3)])),
        ]);
        expect(new Set(made.map((one) => one.id)).size).toBe(3);
        for (const one of made) expect(one.id).toMatch(/^[0-9a-f]{32}$/);
        const [first, second, third] = made.map(({ number }) => number) as [number, number, number];
        expect([first, second, third].toSorted((x, y) => x - y)).toEqual([first, second, third]);
        expect(await store.alerts({ limit: 9 })).toEqual([
          { ...made[0], run: "a", project: "p", name: null },
          { ...made[1], run: "a", project: "p", name: null },
          { ...made[2], run: "b", project: "q", name: "The <b>" },
        ]);
        const numbers = async (query: Omit<AlertQuery, "limit">, limit = 9) =>
          (await store.alerts({ ...query, limit })).map(({ number }) => number);
        expect(await numbers({ project: "q" })).toEqual([third]);
        expect(await numbers({ run: "a" })).toEqual([first, second]);
        expect(await numbers({ after: first })).toEqual([second, third]);
        expect(await numbers({ after: first }, 1)).toEqual([second]);
        expect(await numbers({}, 2)).toEqual([second, third]);
        expect((await store.standingAlerts()).map(({ number }) => number)).toEqual([first, third]);
        const standing = async (before: number, query: Omit<AlertQuery, "limit" | "after">, limit = 9) =>
          (await store.standingAlertsBefore(before, { ...query, limit })).map(({ number }) => number);
        expect(await standing(third + 1, {})).toEqual([first, third]);
        expect(await standing(third + 1, {}, 1)).toEqual([third]);
        expect(await standing(third, {})).toEqual([first]);
        expect(await standing(third + 1, { project: "q" })).toEqual([third]);
        expect(await standing(third + 1, { run: "a" })).toEqual([first]);
        await store.close();
      });

      test("finds those that reach beyond a step, and ends, reopens and ends them all", async () => {
        const store = await harness().open();
        const { id } = await makeRun(store);
        await store.transaction(async (transaction) => {
          const rows = await transaction.insertAlerts(id, [
            alert(1, ended(4)),
            alert(2, ended(9)),
            alert(3),
            alert(7, { ...ended(7), rule: "noise-scale-jumped" }),
          ]);
          const reaching = async (step: number) => (await transaction.alertsReaching(id, step)).map((row) => row.step);
          expect(await reaching(5)).toEqual([2, 3, 7]);
          expect(await reaching(-1)).toEqual([1, 2, 3, 7]);
          await transaction.setAlertEnd(rows[1]?.number ?? 0, null);
          await transaction.setAlertEnd(rows[2]?.number ?? 0, { step: 5, timeMs: 50, text: "another" });
          expect(await transaction.alertsReaching(id, 8)).toMatchObject([{ step: 2, endedStep: null }]);
          expect(await transaction.lastAlert(id, 3, "signal-lost")).toMatchObject({ step: 3, text: "another" });
          expect(await transaction.lastAlert(id, 4, "signal-lost")).toBeUndefined();
          await transaction.endAlerts(id, "noise-scale-jumped", 20, 200);
          expect(await transaction.alertsReaching(id, 8)).toMatchObject([{ step: 2, endedStep: null }]);
          await transaction.endAlerts(id, "signal-lost", 20, 200);
          expect(await transaction.alertsReaching(id, 8)).toMatchObject([{ step: 2, endedStep: 20, endedTimeMs: 200 }]);
        });
        expect(await store.standingAlerts()).toEqual([]);
        await store.close();
      });

      test("lists live runs that were last heard of long ago, once until they are heard of again", async () => {
        const store = await harness().open();
        const { id } = await makeRun(store);
        const position = { attempt: 1, step: 3, timeMs: 7, measurements: 4 };
        const fold = { ...position, state: new Uint8Array(1), watch: new Uint8Array(1) };
        const silent = async () => (await store.silentRuns(100)).map(({ run, arrivedMs }) => [run, arrivedMs]);
        const write = (work: Parameters<Store["transaction"]>[0]) => store.transaction(work);
        await write((transaction) => transaction.saveFold(id, fold));
        expect(await silent()).toEqual([]);
        await write((transaction) => transaction.setArrived(id, 101));
        expect(await silent()).toEqual([]);
        await write((transaction) => transaction.setArrived(id, 100));
        const a = { run: "a", project: "p", arrivedMs: 100 };
        expect(await store.silentRuns(100)).toEqual([a]);
        expect(await store.silentRuns(100, "a")).toEqual([a]);
        expect(await store.silentRuns(100, "b")).toEqual([]);
        await write((transaction) => transaction.insertAlerts(id, [alert(3, { rule: "measurements-stopped" })]));
        expect(await silent()).toEqual([]);
        await write((transaction) => transaction.endAlerts(id, "measurements-stopped", 4, 1));
        expect(await silent()).toEqual([["a", 100]]);
        await write((transaction) => transaction.setState(id, "finished"));
        expect(await silent()).toEqual([]);
        await store.close();
      });

      test("keeps a webhook's messages in order, one sender at a time, until each is taken or refused for good", async () => {
        const store = await harness().open();
        const { id } = await makeRun(store);
        const message = (webhook: string, n: number) => ({ webhook, id: `id-${n}`, body: `{"n": ${n}}` });
        await store.transaction(async (transaction) => {
          await transaction.addWebhookMessages(id, [message("ops", 1), message("slack", 1), message("ops", 2)]);
          const first = await transaction.leaseWebhookMessage("ops", "one", 100, 200);
          expect(first).toMatchObject({ id: "id-1", body: '{"n": 1}', failures: 0 });
          expect(await transaction.leaseWebhookMessage("ops", "two", 150, 250)).toBeUndefined();
          expect(await transaction.leaseWebhookMessage("slack", "two", 150, 250)).toMatchObject({ id: "id-1" });
          const number = first?.number ?? 0;
          // The first sender's lease has run out: its answer changes nothing.
          expect(await transaction.leaseWebhookMessage("ops", "two", 200, 300)).toMatchObject({ number });
          await transaction.acknowledgeWebhookMessage(number, "one");
          const later = { message: "HTTP 503", refused: false, nextAttemptMs: 500 };
          await transaction.refuseWebhookMessage(number, "two", later);
          expect(await transaction.leaseWebhookMessage("ops", "two", 499, 600)).toBeUndefined();
          expect(await transaction.leaseWebhookMessage("ops", "two", 500, 600)).toMatchObject({ number, failures: 1 });
          await transaction.refuseWebhookMessage(number, "two", { ...later, message: "HTTP 400", refused: true });
          expect(await transaction.leaseWebhookMessage("ops", "two", 500, 600)).toMatchObject({ id: "id-2" });
        });
        // Leased until 600.
        expect(await store.hasDueWebhookMessage("ops", 599)).toBe(false);
        expect(await store.hasDueWebhookMessage("ops", 600)).toBe(true);
        expect(await store.hasDueWebhookMessage("other", 600)).toBe(false);
        expect(await store.webhookBacklogs()).toEqual([
          { webhook: "ops", waiting: 1, failures: 0, refused: 1, message: "HTTP 400" },
          { webhook: "slack", waiting: 1, failures: 0, refused: 0, message: null },
        ]);
        await store.transaction(async (transaction) => {
          await transaction.releaseLeases((owner) => owner === "two");
          await transaction.unparkAll();
          expect(await transaction.leaseWebhookMessage("ops", "new", 0, 10)).toMatchObject({ id: "id-1" });
          await transaction.deleteRun(id);
        });
        expect(await store.webhookBacklogs()).toEqual([]);
        await store.close();
      });
    });

    describe("outbox", () => {
      const marks = { madeMs: 1, madeTimeMs: 2, madeMeasurements: 3, layersTimeMs: 4 };
      const delivery = (step: number) => ({ points: [{ key: "k", step, timeMs: 1, value: step }], final: false });

      async function withQueue(): Promise<{ store: Store; id: number; queue: QueueRow }> {
        const store = await harness().open();
        const { id } = await makeRun(store);
        await store.transaction((transaction) => transaction.putQueues(id, new Map([["memory", { id: "x" }]])));
        const [queue] = await store.queues(id);
        return { store, id, queue: queue ?? expect.fail() };
      }

      test("leases a queue to one sender until it answers or the lease runs out", async () => {
        const { store, id, queue } = await withQueue();
        expect(await store.hasDueQueue("memory", 0)).toBe(false);
        await store.transaction((transaction) => transaction.addDeliveries(id, "memory", [delivery(1)], marks, 9));
        expect(await store.hasDueQueue("memory", 0)).toBe(true);
        await store.transaction(async (transaction) => {
          expect(await transaction.leaseQueue("memory", "one", 100, 200)).toMatchObject({ run: "a", backlog: 1 });
          expect(await transaction.leaseQueue("memory", "two", 150, 250)).toBeUndefined();
          expect(await transaction.leaseQueue("memory", "two", 200, 300)).toMatchObject({ run: "a" });
          // The first sender's lease is gone, so that its answer changes nothing.
          await transaction.claimDeliveries(id, "memory");
          await transaction.acknowledge(queue, "one", { position: "late", url: null, panelsMs: 0 });
          expect(await transaction.queues(id)).toMatchObject([{ position: null, backlog: 1 }]);
          await transaction.acknowledge(queue, "two", { position: "p1", url: "u", panelsMs: 8 });
          expect(await transaction.queues(id)).toMatchObject([{ position: "p1", url: "u", backlog: 0, panelsMs: 8 }]);
        });
        await store.close();
      });

      test("keeps a queue leased as long as its lease is renewed by its holder, with what there is to say of the call", async () => {
        const { store, id, queue } = await withQueue();
        await store.transaction(async (transaction) => {
          await transaction.addDeliveries(id, "memory", [delivery(1)], marks, 4);
          await transaction.leaseQueue("memory", "one", 0, 100);
          await transaction.renewLease(queue, "two", 900, "not mine");
          await transaction.renewLease(queue, "one", 200, "slow");
          await transaction.renewLease(queue, "one", 300, null);
          expect(await transaction.queues(id)).toMatchObject([{ message: "slow", failures: 0 }]);
          expect(await transaction.leaseQueue("memory", "two", 299, 400)).toBeUndefined();
          expect(await transaction.leaseQueue("memory", "two", 300, 400)).toMatchObject({ run: "a" });
        });
        await store.close();
      });

      test("lets a call that ends after its run was given another target end its lease, and change nothing else", async () => {
        const { store, id, queue } = await withQueue();
        await store.transaction(async (transaction) => {
          await transaction.addDeliveries(id, "memory", [delivery(1)], marks, 4);
          const end = {
            acknowledged: () => transaction.acknowledge(queue, "one", { position: "of x", url: "x", panelsMs: 8 }),
            refused: () => transaction.refuse(queue, "one", { message: "of x", parked: true, nextAttemptMs: 99 }),
          };
          await transaction.leaseQueue("memory", "one", 0, 100);
          const claimed = await transaction.claimDeliveries(id, "memory");
          await transaction.putQueues(id, new Map([["memory", { id: "y" }]]));
          for (const ends of [end.acknowledged, end.refused]) {
            await transaction.renewLease(queue, "one", 200, "of x");
            expect(await transaction.leaseQueue("memory", "two", 150, 250)).toBeUndefined();
            await ends();
            const [other] = await transaction.queues(id);
            expect(other).toMatchObject({ position: null, url: null, message: null, failures: 0, panelsMs: 0 });
            expect(await transaction.leaseQueue("memory", "one", 150, 160)).toMatchObject({ target: { id: "y" } });
            expect(await transaction.claimDeliveries(id, "memory")).toEqual(claimed);
          }
        });
        await store.close();
      });

      test("lets go of the leases of holders that are gone, and of no other", async () => {
        const { store, id } = await withQueue();
        await store.transaction(async (transaction) => {
          await transaction.addDeliveries(id, "memory", [delivery(1)], marks, 4);
          await transaction.leaseQueue("memory", "killed", 0, 1000);
          await transaction.releaseLeases((owner) => owner === "another");
          expect(await transaction.leaseQueue("memory", "next", 1, 1000)).toBeUndefined();
          await transaction.releaseLeases((owner) => owner === "killed");
          expect(await transaction.leaseQueue("memory", "next", 1, 1000)).toMatchObject({ run: "a", backlog: 1 });
        });
        await store.close();
      });

      test("claims the same deliveries again until they are acknowledged, and thins only those not claimed", async () => {
        const { store, id, queue } = await withQueue();
        await store.transaction(async (transaction) => {
          await transaction.addDeliveries(id, "memory", [delivery(1), delivery(2)], marks, 4);
          const claimed = await transaction.claimDeliveries(id, "memory");
          const more = [3, 4, 5, 6, 7, 8].map(delivery);
          await transaction.addDeliveries(id, "memory", [...more, { ...delivery(9), final: true }], marks, 4);
          expect(await transaction.claimDeliveries(id, "memory")).toEqual(claimed);
          await transaction.leaseQueue("memory", "one", 0, 1);
          await transaction.acknowledge(queue, "one", { position: "p", url: null, panelsMs: 0 });
          const rest = await transaction.claimDeliveries(id, "memory");
          expect(rest.map(({ points }) => points[0]?.step)).toEqual([4, 6, 8, 9]);
        });
        await store.close();
      });

      test("never thins alerts, and gives them in their place among the points", async () => {
        const { store, id } = await withQueue();
        const alert = (n: number) => ({
          id: `a${n}`,
          rule: "signal-lost",
          severity: "warning" as const,
          title: "<b>",
          text: "t",
          step: n,
          timeMs: 1,
        });
        await store.transaction(async (transaction) => {
          await transaction.addDeliveries(id, "memory", [1, 2, 3, 4].map(delivery), marks, 2);
          await transaction.addAlertDelivery(id, "memory", [alert(5)]);
          await transaction.addAlertDelivery(id, "memory", [alert(6)]);
          await transaction.addDeliveries(id, "memory", [7, 8].map(delivery), marks, 2);
          const claimed = await transaction.claimDeliveries(id, "memory");
          expect(claimed.flatMap(({ alerts }) => alerts)).toEqual([alert(5), alert(6)]);
          const order = claimed.map(({ points, alerts }) => points[0]?.step ?? alerts[0]?.step);
          expect(order).toEqual([4, 5, 6, 8]);
        });
        await store.close();
      });

      test("holds back a queue that failed until its time, and a parked one until it is declared anew", async () => {
        const { store, id, queue } = await withQueue();
        await store.transaction(async (transaction) => {
          await transaction.addDeliveries(id, "memory", [delivery(1)], marks, 4);
          await transaction.leaseQueue("memory", "one", 0, 10);
          await transaction.refuse(queue, "one", { message: "later", parked: false, nextAttemptMs: 50 });
          expect(await transaction.leaseQueue("memory", "one", 49, 60)).toBeUndefined();
          expect(await transaction.leaseQueue("memory", "one", 50, 60)).toMatchObject({ failures: 1 });
          await transaction.refuse(queue, "one", { message: "never", parked: true, nextAttemptMs: 0 });
          expect(await transaction.leaseQueue("memory", "one", 99, 100)).toBeUndefined();
          await transaction.putQueues(id, new Map([["memory", { id: "y" }]]));
          expect(await transaction.leaseQueue("memory", "one", 99, 100)).toMatchObject({ target: { id: "y" } });
        });
        await store.close();
      });

      test("drops the queue of a tracker that the run no longer names", async () => {
        const { store, id } = await withQueue();
        await store.transaction(async (transaction) => {
          await transaction.addDeliveries(id, "memory", [delivery(1)], marks, 4);
          await transaction.putQueues(id, new Map());
          expect(await transaction.queues(id)).toEqual([]);
          expect(await transaction.claimDeliveries(id, "memory")).toEqual([]);
        });
        await store.close();
      });
    });

    describe("frontiers", () => {
      const evaluated = (step: number, attempt: number, evaluations: Readonly<Record<string, number>>) =>
        toRunMeasurement(measurementSchema.parse({ ...wireMeasurement(step, attempt), evaluations }));
      const all = async <T>(items: AsyncIterable<T>): Promise<T[]> => Array.fromAsync(items);

      test("finds evaluations by name and attempt in order of step, whatever they are called, and deletes them with the run", async () => {
        const store = await harness().open();
        const { id } = await makeRun(store);
        const other = await makeRun(store, "b");
        const many = Array.from({ length: 4500 }, (_, step) => evaluated(step, 0, { loss: step / 2 }));
        await store.transaction(async (transaction) => {
          await transaction.insertMeasurements(other.id, [evaluated(0, 0, { foreign: 1 })]);
          await transaction.insertMeasurements(id, [...many, evaluated(7, 3, { ["__proto__"]: 2, loss: -1 })]);
          // Sent again, and again with another value: the first stands.
          await transaction.insertMeasurements(id, [evaluated(0, 0, { loss: 0 }), evaluated(1, 0, { loss: 99 })]);
        });
        expect(await store.evaluationNames(id, 9)).toEqual(["__proto__", "loss"]);
        expect(await store.evaluationNames(id, 1)).toEqual(["__proto__"]);
        expect(await store.evaluates(id, "loss")).toBe(true);
        expect(await store.evaluates(id, "foreign")).toBe(false);
        const found = await all(store.evaluations(id, "loss", 0, { from: 1, to: 4490 }));
        expect(found).toHaveLength(4490);
        expect([found[0], found.at(-1)]).toEqual([
          { step: 1, value: 0.5 },
          { step: 4490, value: 2245 },
        ]);
        expect(await all(store.evaluations(id, "__proto__", 3, everyStep))).toEqual([{ step: 7, value: 2 }]);
        expect(await store.attemptStarts(id)).toEqual([
          { attempt: 0, firstStep: 0 },
          { attempt: 3, firstStep: 7 },
        ]);
        await store.transaction((transaction) => transaction.deleteRun(id));
        expect(await store.evaluationNames(id, 9)).toEqual([]);
        expect(await store.evaluationNames(other.id, 9)).toEqual(["foreign"]);
        await store.close();
      });

      test("keeps one calibration a project and one frontier a group and target, for runs of the same unit", async () => {
        const { open } = harness();
        const store = await open();
        const calibration: CalibrationAnswer = {
          project: "p",
          group: "g",
          target: "loss<=1",
          ratio: 0.2,
          ratio_low: 0.1,
          ratio_high: null,
          critical_batch_size: 100,
          critical_batch_size_low: null,
          critical_batch_size_high: 200,
          runs: [],
          warnings: [],
          time_ms: 1,
        };
        const frontier = (target: string, loss: number | null, critical: number): GroupFrontierAnswer => ({
          project: "p",
          group: "g",
          unit: "token",
          target,
          source: "evaluation",
          frontier: {
            target: 1,
            min_steps: 10,
            min_steps_low: null,
            min_steps_high: null,
            min_units: 10 * critical,
            min_units_low: null,
            min_units_high: null,
            critical_batch_size: critical,
            critical_batch_size_low: critical / 2,
            critical_batch_size_high: null,
            rms_log_residual: 0.1,
            runs: 5,
            censored: [],
            intervals: "residuals",
            points: [],
            warnings: [],
          },
          loss,
          runs: [],
          warnings: ["a warning"],
          time_ms: 1,
        });
        await store.transaction(async (transaction) => {
          await transaction.putCalibration({ ...calibration, ratio: 9 });
          await transaction.putCalibration(calibration);
          await transaction.putGroupFrontier(frontier("loss<=1", 1, 99));
          await transaction.putGroupFrontier(frontier("loss<=1", 1, 100));
          await transaction.putGroupFrontier(frontier("accuracy>=0.9", null, 50));
        });
        await store.close();
        const again = await open();
        expect(await again.calibration("p")).toEqual(calibration);
        expect(await again.calibration("q")).toBeUndefined();
        expect(await again.groupFrontiers("p", "g")).toEqual([
          frontier("accuracy>=0.9", null, 50),
          frontier("loss<=1", 1, 100),
        ]);
        const ratio = { ratio: 0.2, ratioLow: 0.1, ratioHigh: undefined };
        // One whose loss is not known is near none.
        expect(await again.measuredFrontiers("p", "g", "token")).toEqual({
          calibration: ratio,
          frontiers: [
            {
              target: "loss<=1",
              loss: 1,
              criticalBatchSize: 100,
              criticalBatchSizeLow: 50,
              criticalBatchSizeHigh: undefined,
            },
          ],
        });
        expect(await again.measuredFrontiers("p", "g", "example")).toEqual({ calibration: ratio, frontiers: [] });
        expect(await again.measuredFrontiers("q", undefined, "token")).toEqual({
          calibration: undefined,
          frontiers: [],
        });
        await again.transaction(async (transaction) => {
          expect(await transaction.deleteCalibration("p")).toBe(true);
          expect(await transaction.deleteCalibration("p")).toBe(false);
          await transaction.deleteGroupFrontier("p", "g", "loss<=1");
          expect(await transaction.measuredFrontiers("p", "g", "token")).toEqual({
            calibration: undefined,
            frontiers: [],
          });
          for (let target = 1; target <= 66; target += 1) {
            await transaction.putGroupFrontier({ ...frontier(`loss<=${target}`, 1, 100), time_ms: target });
          }
          // Fitted anew, it is the latest.
          await transaction.putGroupFrontier({ ...frontier("loss<=3", 1, 100), time_ms: 67 });
          await transaction.putGroupFrontier({ ...frontier("loss<=67", 1, 100), time_ms: 68 });
        });
        const kept = (await again.groupFrontiers("p", "g")).map(({ target }) => target);
        expect(kept).toHaveLength(64);
        expect(kept).toEqual(expect.arrayContaining(["loss<=3", "loss<=67", "loss<=66"]));
        for (const gone of ["accuracy>=0.9", "loss<=1", "loss<=2", "loss<=4"]) expect(kept).not.toContain(gone);
        await again.close();
      });
    });
  });
}
