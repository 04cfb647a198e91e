// How long a run of 100,000 measurements takes to open in a browser: from asking for the page until its figures and its
// panels are drawn. Prints a row an opening, beside a run of 1,000.
// Usage: node --conditions=@noisescale/source test/bench/page.ts

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startCollector } from "@noisescale/server";
import type { Browser } from "playwright-core";
import { launchBrowser } from "../e2e/browser.ts";
import { seededUniform, syntheticMeasurement } from "./synthetic-measurements.ts";

const sizes = [1_000, 100_000];
const openings = 7;
const perRequest = 5_000;

async function fill(url: string, run: string, total: number): Promise<void> {
  const send = async (method: string, path: string, body: unknown): Promise<void> => {
    const headers = { "content-type": "application/json" };
    const response = await fetch(`${url}/v1/runs/${run}${path}`, { method, headers, body: JSON.stringify(body) });
    if (!response.ok) throw new Error(await response.text());
  };
  await send("PUT", "", { project: "bench" });
  const uniform = seededUniform(3);
  for (let first = 0; first < total; first += perRequest) {
    const count = Math.min(perRequest, total - first);
    const measurements = Array.from({ length: count }, (_, index) => ({
      ...syntheticMeasurement(first + index, uniform),
      loss: 3 - (2 * (first + index)) / total,
      learning_rate: first + index < total / 2 ? 0.1 : 0.01,
    }));
    await send("POST", "/measurements", { measurements });
  }
}

/** Milliseconds until the figures and panels stand, with an empty cache. */
async function open(browser: Browser, address: string): Promise<number> {
  const page = await browser.newPage({ viewport: { width: 1240, height: 900 } });
  const start = performance.now();
  await page.goto(address, { waitUntil: "commit" });
  await page.waitForFunction(
    () =>
      document.querySelectorAll("section:not([hidden]) canvas").length === 7 &&
      [...document.querySelectorAll<HTMLCanvasElement>("section:not([hidden]) canvas")].every(
        ({ width }) => width > 300,
      ) &&
      /\d/.test(document.querySelector(".figure-value")?.textContent ?? ""),
  );
  const elapsedMs = performance.now() - start;
  await page.close();
  return elapsedMs;
}

const median = (values: readonly number[]): number =>
  values.toSorted((one, other) => one - other)[values.length >> 1] ?? 0;

const directory = await mkdtemp(join(tmpdir(), "noisescale-bench-page-"));
const collector = await startCollector({ dataDirectory: directory, port: 0, config: {} });
const browser = await launchBrowser();
try {
  for (const size of sizes) await fill(collector.url, `run-${size}`, size);
  await open(browser, `${collector.url}/runs/run-${sizes[0]}`);
  const times = new Map<number, number[]>(sizes.map((size) => [size, []]));
  for (let opening = 0; opening < openings; opening += 1) {
    for (const size of sizes) times.get(size)?.push(await open(browser, `${collector.url}/runs/run-${size}`));
  }
  for (const [size, own] of times) {
    console.log(
      `${String(size).padStart(7)} measurements: opens in ${median(own).toFixed(0)} ms (median of ${openings}; ${Math.min(...own).toFixed(0)} to ${Math.max(...own).toFixed(0)})`,
    );
  }
} finally {
  await browser.close();
  await collector.close();
  await rm(directory, { recursive: true });
}
