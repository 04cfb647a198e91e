import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient } from "@noisescale/client";
import { watch } from "@noisescale/hook-tfjs";
import { type RunDetail, runDetailSchema, type Snapshot, snapshotSchema } from "@noisescale/protocol";
import { type Collector, startCollector } from "@noisescale/server";
import "@tensorflow/tfjs-backend-wasm";
import * as tf from "@tensorflow/tfjs-core";
import * as layers from "@tensorflow/tfjs-layers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

let folder: string;
let collector: Collector;

beforeAll(async () => {
  await tf.setBackend("wasm");
  folder = await mkdtemp(join(tmpdir(), "noisescale-hook-"));
  collector = await startCollector({ dataDirectory: join(folder, "data"), port: 0, config: {} });
});

afterAll(async () => {
  await collector.close();
  await rm(folder, { recursive: true });
});

function linearModel(): layers.Sequential {
  const model = layers.sequential({ layers: [layers.layers.dense({ units: 1, inputShape: [8] })] });
  model.compile({ optimizer: tf.train.sgd(0.01), loss: "meanSquaredError" });
  return model;
}

function noisyLine(count: number) {
  const x = tf.randomNormal([count, 8], 0, 1, "float32", 5);
  const y = tf.add(tf.sum(x, 1, true), tf.randomNormal([count, 1], 0, 1, "float32", 6));
  return { x, y };
}

async function get<Value>(path: string, parse: (body: unknown) => Value): Promise<Value> {
  const response = await fetch(`${collector.url}/v1/runs/${path}`);
  expect(response.status).toBe(200);
  return parse(await response.json());
}

const snapshotOf = (run: string): Promise<Snapshot> => get(`${run}/snapshot`, (body) => snapshotSchema.parse(body));
const detailOf = (run: string): Promise<RunDetail> => get(run, (body) => runDetailSchema.parse(body));

describe("the TensorFlow.js hook with a real collector", () => {
  it("brings a training's measurements and its end to the collector, which answers with the estimate", async () => {
    const { x, y } = noisyLine(640);
    const model = linearModel();
    const watcher = watch(model, { url: collector.url, run: "line-1", project: "e2e", every: 1, layers: true });
    await model.fit(x, y, { batchSize: 32, epochs: 5, verbose: 0 });
    expect(await watcher.close()).toBe(true);
    expect(watcher.measurements).toBe(100);

    const snapshot = await snapshotOf("line-1");
    expect(snapshot).toMatchObject({ run: "line-1", step: 99, measurements: 100, batch_size: 32, unit: "example" });
    expect(Object.keys(snapshot.layers)).toEqual([model.layers[0]?.name]);
    expect(watcher.snapshot).toMatchObject({
      step: 99,
      b_simple: snapshot.b_simple,
      b_simple_low: snapshot.b_simple_low,
    });
    expect(await detailOf("line-1")).toMatchObject({ state: "finished", project: "e2e" });
  });

  it("brings B_noise, which for inputs of one variance in every direction is B_simple, and Adam's metric", async () => {
    const { x, y } = noisyLine(1280);
    const model = linearModel();
    model.compile({ optimizer: tf.train.adam(1e-3), loss: "meanSquaredError" });
    const watcher = watch(model, {
      url: collector.url,
      run: "line-forms",
      project: "e2e",
      every: 1,
      hessianEvery: 1,
      preconditioned: true,
    });
    await model.fit(x, y, { batchSize: 32, epochs: 3, verbose: 0 });
    expect(await watcher.close()).toBe(true);
    const snapshot = await snapshotOf("line-forms");
    expect(snapshot.measurements).toBe(120);
    expect(snapshot.predicted.basis).toBe("b_noise");
    // H is twice the identity: both are one number, seen through two filters.
    expect(snapshot.b_noise_low).toBeLessThan(snapshot.b_simple_high ?? Number.POSITIVE_INFINITY);
    expect(snapshot.b_noise_high).toBeGreaterThan(snapshot.b_simple_low ?? 0);
    expect(snapshot.b_preconditioned_low).toBeGreaterThan(0);
  });

  it("loses and doubles nothing when the collector goes away in the middle and comes back", async () => {
    const { x, y } = noisyLine(320);
    const model = linearModel();
    const client = createClient({
      url: collector.url,
      run: "line-2",
      declaration: { project: "e2e" },
      spoolDirectory: join(folder, "spool"),
      flushEveryMs: 10,
      retryFirstMs: 10,
      onWarning: () => undefined,
    });
    const watcher = watch(model, { client, every: 1 });
    const epochs = (count: number) => model.fit(x, y, { batchSize: 32, epochs: count, verbose: 0 });
    await epochs(1);
    expect(await watcher.flush()).toBe(true);
    const port = Number(new URL(collector.url).port);
    await collector.close();
    await epochs(2);
    expect(await watcher.flush({ deadlineMs: 100 })).toBe(false);
    collector = await startCollector({ dataDirectory: join(folder, "data"), port, config: {} });
    await epochs(1);
    expect(await watcher.close()).toBe(true);
    expect(client.stats).toMatchObject({ delivered: 40, dropped: 0, rejected: 0 });
    expect(client.stats.spooled).toBeGreaterThan(0);
    expect(await snapshotOf("line-2")).toMatchObject({ step: 39, measurements: 40 });
    await client.close();
  });
});
