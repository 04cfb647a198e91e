import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { RunDetail } from "@noisescale/protocol";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { apiKey, WandbServer } from "../../plugins/tracker-wandb/test/wandb-server.ts";
import { wireMeasurement } from "../../server/test/measurement-source.ts";
import { CommandProcess } from "./command-process.ts";

let directory: string;
let server: WandbServer;
let collector: CommandProcess | undefined;
let url: string;

/** Steps of one push: far enough apart in the run's own time that each is due. */
const pushedSteps = 60;
const apartMs = 11_000;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "noisescale-wandb-"));
  server = await WandbServer.start();
  const tracker = {
    name: "wandb",
    kind: "wandb",
    base_url: server.url,
    api_key: apiKey,
    reachable_projects: ["digits"],
  };
  await writeFile(join(directory, "noisescale.config.json"), JSON.stringify({ trackers: [tracker] }));
});
afterAll(async () => {
  await collector?.kill();
  await server?.stop();
  await rm(directory, { recursive: true, force: true });
});

async function start(): Promise<void> {
  const config = join(directory, "noisescale.config.json");
  collector = CommandProcess.ofSources("serve", "--data", join(directory, "data"), "--config", config, "--port", "0");
  [url = ""] = await collector.prints(/http:\/\/127\.0\.0\.1:\d+/);
}
async function request(method: string, path: string, body?: unknown): Promise<Response> {
  const headers = { "content-type": "application/json" };
  return fetch(`${url}${path}`, body === undefined ? { method } : { method, headers, body: JSON.stringify(body) });
}

test("a collector that is killed between W&B's taking rows and its answer goes on at the stored offset: each row once, in order", async () => {
  await start();
  const declaration = { project: "digits", trackers: [{ name: "wandb", run: { project: "digits" } }] };
  expect((await request("PUT", "/v1/runs/killed", declaration)).status).toBe(201);
  let kills = 0;
  for (let step = 0; step < pushedSteps; step += 1) {
    const measurement = { ...wireMeasurement(step), time_ms: 1_790_000_000_000 + apartMs * step };
    if (step % 15 === 7) {
      const died = new Promise<void>((resolve) => {
        server.onRows = () => {
          server.onRows = () => {};
          collector?.signal("SIGKILL");
          kills += 1;
          resolve();
        };
      });
      await request("POST", "/v1/runs/killed/measurements", { measurements: [measurement] });
      await died;
      await collector?.exit();
      await start();
    } else {
      expect((await request("POST", "/v1/runs/killed/measurements", { measurements: [measurement] })).status).toBe(200);
    }
  }
  await request("POST", "/v1/runs/killed/events", {
    events: [{ step: pushedSteps, time_ms: 1_790_000_000_000, kind: "finished", code: "finished" }],
  });
  const companion = [...server.runs.values()][0];
  await vi.waitFor(() => expect(companion?.state).toBe("finished"), { timeout: 60_000, interval: 50 });
  expect(kills).toBe(4);
  const pushed = (companion?.rows ?? []).filter(({ content }) => "noise_scale/batch_size" in content);
  expect(pushed.map(({ content }) => content["noise_scale/step"])).toEqual(
    Array.from({ length: pushedSteps }, (_, step) => step),
  );
  expect(companion?.rows.map(({ content }) => content["_step"])).toEqual(companion?.rows.map((_, row) => row));
  expect(companion?.files.size).toBeGreaterThan(0);
  expect(server.violations).toEqual([]);
  const { trackers } = (await (await request("GET", "/v1/runs/killed")).json()) as RunDetail;
  expect(trackers).toMatchObject([
    { name: "wandb", state: "ok", url: `${server.url}/me/digits/runs/${companion?.name}` },
  ]);
});

test("what the configuration does not allow is refused, and shown", async () => {
  const declaration = { project: "digits", trackers: [{ name: "wandb", run: { project: "payroll" } }] };
  await request("PUT", "/v1/runs/elsewhere", declaration);
  await request("POST", "/v1/runs/elsewhere/measurements", { measurements: [wireMeasurement(0)] });
  await vi.waitFor(
    async () => {
      const { trackers } = (await (await request("GET", "/v1/runs/elsewhere")).json()) as RunDetail;
      expect(trackers).toMatchObject([{ state: "parked", message: expect.stringContaining("reachable_projects") }]);
    },
    { timeout: 30_000, interval: 50 },
  );
});
