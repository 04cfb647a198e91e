import { once } from "node:events";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { RunDetail } from "@noisescale/protocol";
import { type Collector, startCollector } from "@noisescale/server";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { apiKey, WandbServer } from "../../plugins/tracker-wandb/test/wandb-server.ts";
import { silentLogger } from "../../server/test/silent-logger.ts";
import { freePort } from "../tools/free-port.ts";
import { launchBrowser, screenshot, watchedPage } from "./browser.ts";

const startMs = 1_790_000_000_000;
const runs = ["first", "second", "third"];
/** All of a run's trackers: two that are alive, one that takes connections and says nothing, and one that is not there. */
const names = ["board", "wandb", "silent", "absent"];

let folder: string;
let wandb: WandbServer;
let silent: Server;
const sockets: Socket[] = [];
let collector: Collector;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "noisescale-dead-"));
  wandb = await WandbServer.start();
  silent = createServer((socket) => sockets.push(socket)).listen(0, "127.0.0.1");
  await once(silent, "listening");
  const silentUrl = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`;
  collector = await startCollector({
    dataDirectory: join(folder, "data"),
    port: 0,
    // Refusals are what this is about.
    logger: silentLogger,
    config: {
      trackers: [
        { name: "board", kind: "tensorboard", root: join(folder, "board") },
        { name: "wandb", kind: "wandb", base_url: wandb.url, api_key: apiKey, entity: "me" },
        { name: "silent", kind: "mlflow", tracking_uri: silentUrl },
        { name: "absent", kind: "trackio", server_url: `http://127.0.0.1:${await freePort()}` },
      ],
    },
  });
});
afterAll(async () => {
  for (const socket of sockets) socket.destroy();
  silent?.close();
  await collector?.close();
  await wandb?.stop();
  await rm(folder, { recursive: true });
});

async function send(method: string, path: string, body: unknown): Promise<void> {
  const headers = { "content-type": "application/json" };
  const response = await fetch(`${collector.url}/v1/runs/${path}`, { method, headers, body: JSON.stringify(body) });
  if (!response.ok) throw new Error(await response.text());
}
/** Ten seconds of training apart, so that each is a point of its own. */
const measurements = Array.from({ length: 20 }, (_, step) => ({
  step,
  time_ms: startMs + 10_000 * step,
  small: { batch_size: 8, squared_norm: 2 + Math.sin(step), count: 4 },
  big: { batch_size: 32, squared_norm: 1 + 0.25 * Math.sin(step) },
}));
async function queues(run: string): Promise<ReadonlyMap<string, RunDetail["trackers"][number]>> {
  const { trackers } = (await (await fetch(`${collector.url}/v1/runs/${run}`)).json()) as RunDetail;
  return new Map(trackers.map((queue) => [queue.name, queue]));
}

test("trackers that are dead delay no other of their runs, and their backlog is in /metrics and on the page", async () => {
  for (const run of runs) {
    await send("PUT", run, { project: "faults", trackers: names.map((name) => ({ name })) });
    await send("POST", `${run}/measurements`, { measurements });
  }
  for (const run of runs) {
    await vi.waitFor(
      async () => {
        const { board, wandb, absent } = Object.fromEntries(await queues(run));
        expect([board, wandb]).toMatchObject([
          { state: "ok", backlog: 0 },
          { state: "ok", backlog: 0 },
        ]);
        expect(absent).toMatchObject({ state: "retrying", message: expect.stringContaining("did not answer") });
      },
      { timeout: 30_000, interval: 50 },
    );
    expect(await readdir(join(folder, "board", run, "noise_scale"))).toHaveLength(1);
  }
  // The first call to it is still under way: nothing has waited for its end.
  expect((await queues("first")).get("silent")).toMatchObject({ state: "waiting", message: null });
  expect(sockets).toHaveLength(1);
  const shown = [...wandb.runs.values()].map(({ rows }) =>
    rows.flatMap(({ content }) => ("noise_scale/batch_size" in content ? [content["noise_scale/step"]] : [])),
  );
  expect(shown).toEqual(runs.map(() => measurements.map(({ step }) => step)));

  const metrics = await (await fetch(`${collector.url}/metrics`)).text();
  for (const run of runs) {
    for (const [name, { backlog }] of await queues(run)) {
      expect(metrics).toContain(`noisescale_outbox_backlog{run="${run}",tracker="${name}"} ${backlog}\n`);
      expect(backlog === 0).toBe(["board", "wandb"].includes(name));
    }
  }

  const browser = await launchBrowser();
  try {
    const { page, errors } = await watchedPage(browser, collector.url, { width: 1240 });
    await page.goto(`${collector.url}/runs/first`);
    const row = (name: string) => page.getByRole("row").filter({ has: page.getByRole("rowheader", { name }) });
    await row("absent").waitFor();
    for (const [name, { backlog }] of await queues("first")) {
      const [state, waiting] = await row(name).getByRole("cell").allTextContents();
      expect(waiting).toBe(backlog === 0 ? "–" : String(backlog));
      if (name === "absent") expect(state).toContain("did not answer");
    }
    await screenshot(page, "trackers-dead");
    expect(errors).toEqual([]);
  } finally {
    await browser.close();
  }
});
