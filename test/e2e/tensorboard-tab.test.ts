import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { type PanelData, panelsOf, panelText, panelTitle } from "@noisescale/charts";
import type { RunDetail } from "@noisescale/protocol";
import type { Browser, FrameLocator } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { seededUniform, wireMeasurement } from "../../server/test/measurement-source.ts";
import { freePort } from "../tools/free-port.ts";
import { trackersPython } from "../tools/python-process.ts";
import { launchBrowser, screenshot, watchedPage } from "./browser.ts";
import { CommandProcess } from "./command-process.ts";

const run = promisify(execFile);
const root = fileURLToPath(new URL("../../", import.meta.url));
const python = join(root, ".cache/venv/bin/python");
const steps = 900;

let directory: string;
let browser: Browser;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "noisescale-tab-"));
  browser = await launchBrowser();
  await Promise.all([installPackage(), writeEventFiles()]);
});
afterAll(async () => {
  await browser?.close();
  await rm(directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
});

/** The wheel as a user would install it, beside TensorBoard. */
async function installPackage(): Promise<void> {
  const wheels = join(directory, "wheels");
  const build = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", wheels];
  await run(trackersPython, [...build, join(root, "plugins/hook-python")]);
  const [wheel = ""] = await readdir(wheels);
  await run(trackersPython, ["-m", "zipfile", "-e", join(wheels, wheel), join(directory, "site")]);
}

/** What a collector leaves of a run with layers, a falling loss and a declared cost of a step; it has ended then. */
async function writeEventFiles(): Promise<void> {
  const config = join(directory, "noisescale.config.json");
  await writeFile(config, JSON.stringify({ trackers: [{ name: "board", kind: "tensorboard", root: "./logs" }] }));
  const options = ["--data", join(directory, "data"), "--config", config, "--port", "0"];
  const collector = CommandProcess.ofSources("serve", ...options);
  try {
    const [url = ""] = await collector.prints(/http:\/\/127\.0\.0\.1:\d+/);
    const request = (method: string, path: string, body?: unknown): Promise<Response> => {
      const headers = { "content-type": "application/json" };
      return fetch(`${url}${path}`, { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
    };
    const tracker = { name: "board", run: { dir: "digits/<img src=x onerror=alert(1)>" } };
    const declaration = { project: "p", name: "Digits <b>7</b>", trackers: [tracker], latency_ratio: 400 };
    expect((await request("PUT", "/v1/runs/tab", declaration)).status).toBe(201);
    const uniform = seededUniform(5);
    const measurements = Array.from({ length: steps }, (_, step) => {
      const measurement = wireMeasurement(step);
      const { small, big } = measurement;
      const share = (part: number): [number, number] => [small.squared_norm * part, big.squared_norm * part];
      return {
        ...measurement,
        time_ms: 1_790_000_000_000 + 1000 * step,
        loss: 2.3 * (1 + step) ** -0.3 * (1 + 0.02 * uniform()),
        learning_rate: step < 450 ? 0.1 : 0.05,
        layers: { "dense/kernel": share(0.7), "dense/bias": share(0.3) },
      };
    });
    for (let start = 0; start < steps; start += 300) {
      const part = measurements.slice(start, start + 300);
      expect((await request("POST", "/v1/runs/tab/measurements", { measurements: part })).status).toBe(200);
    }
    const event = { step: steps, time_ms: 1_790_000_000_000 + 1000 * steps, kind: "finished", code: "finished" };
    await request("POST", "/v1/runs/tab/events", { events: [event] });
    await vi.waitFor(
      async () => {
        const { trackers } = (await (await request("GET", "/v1/runs/tab")).json()) as RunDetail;
        expect(trackers).toMatchObject([{ state: "ok", backlog: 0 }]);
      },
      { timeout: 60_000, interval: 50 },
    );
  } finally {
    collector.signal("SIGTERM");
    await collector.exit();
  }
}

describe.each([["--load_fast=true"], ["--load_fast=false"]])("TensorBoard %s, and nothing else,", (mode) => {
  let server: ChildProcess;
  let origin: string;
  let data: PanelData;
  const at = (path: string): string => `${origin}/data/plugin/noisescale/${path}`;
  beforeAll(async () => {
    const port = await freePort();
    origin = `http://127.0.0.1:${port}`;
    const options = ["--logdir", join(directory, "logs"), "--port", String(port), "--host", "127.0.0.1", mode];
    const path = [join(directory, "site"), process.env["PYTHONPATH"] ?? ""].join(delimiter);
    const env = { ...process.env, PYTHONPATH: path };
    server = spawn(python, ["-m", "tensorboard.main", ...options, "--reload_interval", "1"], { env, stdio: "ignore" });
    const runs = await vi.waitFor(
      async () => {
        const listed = (await (await fetch(at("runs"))).json()) as string[];
        expect(listed).toHaveLength(1);
        return listed;
      },
      { timeout: 90_000, interval: 100 },
    );
    data = (await (await fetch(at(`panel_data?${new URLSearchParams({ run: runs[0] ?? "" })}`))).json()) as PanelData;
  });
  afterAll(async () => {
    const ended = once(server, "exit");
    server.kill();
    await ended;
  });

  test("serves the panels' data of the run's end, and none of a run that has none", async () => {
    expect(data.name).toBe("Digits <b>7</b>");
    expect(data.snapshot.step).toBe(steps - 1);
    expect(data.snapshot.identifiable).toBe(true);
    expect((await fetch(at("panel_data?run=../etc"))).status).toBe(404);
  });

  test.each(["light", "dark"] as const)(
    "shows every panel in %s, each with its numbers as text",
    async (colorScheme) => {
      const { page, errors, foreign } = await watchedPage(browser, origin, { width: 1240, colorScheme });
      await page.goto(`${origin}/#noisescale`);
      const tab: FrameLocator = page.frameLocator("iframe");
      await tab.getByRole("heading", { level: 1 }).waitFor();
      expect(await tab.locator(".name").textContent()).toBe("Digits <b>7</b>");
      const panels = panelsOf(data);
      expect(panels.length).toBeGreaterThanOrEqual(8);
      for (const panel of panels) {
        const section = tab.locator("section", {
          has: page.getByRole("heading", { name: panelTitle(panel), exact: true }),
        });
        expect(await section.locator(".text").textContent(), panel).toBe(panelText(panel, data));
        const canvas = section.locator("canvas");
        await canvas.scrollIntoViewIfNeeded();
        await vi.waitFor(
          async () => {
            const colours = await canvas.evaluate((drawn) => {
              const { width, height } = drawn as HTMLCanvasElement;
              const pixels =
                (drawn as HTMLCanvasElement).getContext("2d")?.getImageData(0, 0, width, height).data ?? [];
              return new Set(
                Array.from({ length: pixels.length / 4 }, (_, i) => `${pixels[4 * i]} ${pixels[4 * i + 2]}`),
              ).size;
            });
            expect(colours, panel).toBeGreaterThan(20);
          },
          { timeout: 10_000, interval: 100 },
        );
      }
      expect(await tab.locator("html").getAttribute("data-theme")).toBe(colorScheme);
      await screenshot(page, `tensorboard-tab-${colorScheme}-end`);
      await tab.getByRole("heading", { level: 1 }).scrollIntoViewIfNeeded();
      await screenshot(page, `tensorboard-tab-${colorScheme}`);
      expect(errors).toEqual([]);
      expect(foreign.filter((url) => !url.startsWith("data:") && !url.startsWith("blob:"))).toEqual([]);
      await page.close();
    },
  );
});
