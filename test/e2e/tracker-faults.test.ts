import { once } from "node:events";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { RunDetail } from "@noisescale/protocol";
import { type Collector, startCollector } from "@noisescale/server";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { MlflowServer } from "../../plugins/tracker-mlflow/test/mlflow-server.ts";
import { silentLogger } from "../../server/test/silent-logger.ts";

/** What happens to the next call that brings metrics; without one it goes through. */
type Fault = "refused-503" | "refused-429" | "request-cut" | "answer-lost" | "slow";

const startMs = 1_790_000_000_000;
const faults: Fault[] = [];
const met: Fault[] = [];
let folder: string;
let server: MlflowServer;
let proxy: Server;
let collector: Collector;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "noisescale-faults-"));
  server = await MlflowServer.start();
  proxy = createServer((incoming, answer) => {
    const fault = incoming.url?.endsWith("/runs/log-batch") === true ? faults.shift() : undefined;
    if (fault !== undefined) met.push(fault);
    meet(fault, incoming, answer);
  }).listen(0, "127.0.0.1");
  await once(proxy, "listening");
  collector = await startCollector({
    dataDirectory: join(folder, "data"),
    port: 0,
    // Refusals are what this is about.
    logger: silentLogger,
    config: {
      trackers: [
        {
          name: "mlflow",
          kind: "mlflow",
          tracking_uri: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
        },
        { name: "board", kind: "tensorboard", root: join(folder, "board") },
      ],
    },
  });
});
afterAll(async () => {
  await collector?.close();
  proxy?.closeAllConnections();
  proxy?.close();
  await server?.stop();
  await rm(folder, { recursive: true });
});

function meet(fault: Fault | undefined, incoming: IncomingMessage, answer: ServerResponse): void {
  if (fault === "request-cut") {
    incoming.once("data", () => incoming.destroy());
    return;
  }
  if (fault === "refused-503" || fault === "refused-429") {
    incoming.resume();
    answer.writeHead(fault === "refused-503" ? 503 : 429, { "retry-after": "1" }).end("try later");
    return;
  }
  const forward = (): void => {
    const target = new URL(incoming.url ?? "/", server.url);
    const headers = { ...incoming.headers, host: target.host };
    const forwarded = request(target, { method: incoming.method, headers }, (response) => {
      if (fault === "answer-lost") {
        // MLflow has taken the metrics; the caller sees the head of an answer and no end.
        answer.writeHead(200, { "content-type": "application/json", "content-length": "1000" });
        answer.write("{", () => answer.destroy());
        response.resume();
        return;
      }
      answer.writeHead(response.statusCode ?? 502, response.headers);
      response.pipe(answer);
    });
    incoming.pipe(forwarded);
  };
  if (fault === "slow") setTimeout(forward, 1000);
  else forward();
}

async function call<Answer>(path: string, method = "GET", body?: unknown): Promise<Answer> {
  const response = await fetch(`${collector.url}/v1/runs/${path}`, {
    method,
    headers: { "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!response.ok) throw new Error(await response.text());
  return response.json() as Promise<Answer>;
}
async function mlflow<Answer>(path: string, body?: unknown): Promise<Answer> {
  const init = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  const response = await fetch(`${server.url}/api/2.0/mlflow/${path}`, body === undefined ? {} : init);
  if (!response.ok) throw new Error(await response.text());
  return response.json() as Promise<Answer>;
}

const declaration = { project: "faults", trackers: [{ name: "mlflow" }, { name: "board" }] };
/** Ten seconds of training apart, so that each is a point of its own. */
const measure = (run: string, from: number, to: number): Promise<unknown> =>
  call(`${run}/measurements`, "POST", {
    measurements: Array.from({ length: to - from }, (_, i) => ({
      step: from + i,
      time_ms: startMs + 10_000 * (from + i),
      small: { batch_size: 8, squared_norm: 2 + Math.sin(from + i), count: 4 },
      big: { batch_size: 32, squared_norm: 1 + 0.25 * Math.sin(from + i) },
    })),
  });
const queue = async (run: string, name: string) =>
  (await call<RunDetail>(run)).trackers.find((tracker) => tracker.name === name);
const eventually = <T>(check: () => Promise<T>): Promise<T> => vi.waitFor(check, { timeout: 45_000, interval: 100 });

async function mlflowRun(run: string): Promise<string> {
  const { experiment } = await mlflow<{ experiment: { experiment_id: string } }>(
    "experiments/get-by-name?experiment_name=faults",
  );
  const { runs } = await mlflow<{ runs: { info: { run_id: string } }[] }>("runs/search", {
    experiment_ids: [experiment.experiment_id],
    filter: `tags.\`noisescale.run\` = '${run}'`,
    run_view_type: "ALL",
  });
  expect(runs).toHaveLength(1);
  return runs[0]?.info.run_id ?? "";
}
async function batchSizeSteps(runId: string): Promise<number[]> {
  const { metrics } = await mlflow<{ metrics: { step: number }[] }>(
    `metrics/get-history?run_id=${runId}&metric_key=noise_scale/batch_size`,
  );
  return metrics.map(({ step }) => Number(step));
}

describe("a tracker that fails", () => {
  test("gets every point once and in order after cuts, refusals and delays, and holds up no other tracker", async () => {
    faults.push("request-cut", "answer-lost", "refused-503", "refused-429", "slow");
    await call("cut", "PUT", declaration);
    await measure("cut", 0, 30);
    await eventually(async () => {
      expect(await queue("cut", "mlflow")).toMatchObject({ state: "retrying", backlog: expect.any(Number) });
    });
    const waiting = await queue("cut", "mlflow");
    expect(waiting?.backlog).toBeGreaterThan(0);
    expect(waiting?.message).toMatch(/did not answer|refused/);
    const metrics = await (await fetch(`${collector.url}/metrics`)).text();
    expect(metrics).toMatch(/noisescale_\w*backlog\w*\{[^}]*mlflow[^}]*\} [1-9]/);
    await eventually(async () => expect(await queue("cut", "board")).toMatchObject({ state: "ok", backlog: 0 }));
    expect(faults).not.toEqual([]);
    expect(await readdir(join(folder, "board/cut/noise_scale"))).toHaveLength(1);

    await measure("cut", 30, 40);
    await eventually(async () => expect(await queue("cut", "mlflow")).toMatchObject({ state: "ok", backlog: 0 }));
    expect(met).toEqual(["request-cut", "answer-lost", "refused-503", "refused-429", "slow"]);
    expect(await batchSizeSteps(await mlflowRun("cut"))).toEqual(Array.from({ length: 40 }, (_, step) => step));
  });

  test("whose run was deleted is parked with the reason, and goes on where it stood once that is mended", async () => {
    await call("gone", "PUT", declaration);
    await measure("gone", 0, 5);
    await eventually(async () => expect(await queue("gone", "mlflow")).toMatchObject({ state: "ok", backlog: 0 }));
    const runId = await mlflowRun("gone");
    await mlflow("runs/delete", { run_id: runId });
    await measure("gone", 5, 10);
    await eventually(async () => {
      expect(await queue("gone", "mlflow")).toMatchObject({
        state: "parked",
        message: expect.stringContaining("restore"),
      });
    });
    await mlflow("runs/restore", { run_id: runId });
    await call("gone", "PUT", declaration);
    await eventually(async () => expect(await queue("gone", "mlflow")).toMatchObject({ state: "ok", backlog: 0 }));
    expect(await batchSizeSteps(runId)).toEqual(Array.from({ length: 10 }, (_, step) => step));
  });
});
