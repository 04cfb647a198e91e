import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { MeasurementInput } from "@noisescale/protocol";
import { type Collector, startCollector } from "@noisescale/server";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { launchBrowser, screenshot, watchedPage } from "./browser.ts";

const hostile = "<img src=x onerror=\"document.title='taken'\">";

let directory: string;
let collector: Collector;
let browser: Browser;

async function write(method: string, path: string, body: unknown): Promise<void> {
  const headers = { "content-type": "application/json" };
  const response = await fetch(`${collector.url}${path}`, { method, headers, body: JSON.stringify(body) });
  expect(response.ok).toBe(true);
}

/** B_simple goes from 256 to 2048 at step 2400; the batch is 4 times too large until step 900, and the rate is cut at 1500. */
function measurement(step: number): MeasurementInput {
  const batchSize = step < 900 ? 1024 : 256;
  const signal = 1 / (step < 2400 ? 256 : 2048);
  const wobble = (seed: number): number => 1 + 0.2 * Math.sin(step * seed);
  return {
    step,
    time_ms: Date.now() - 600_000 + step * 100,
    small: { batch_size: batchSize / 8, squared_norm: (8 / batchSize + signal) * wobble(12.9898), count: 8 },
    big: { batch_size: batchSize, squared_norm: (1 / batchSize + signal) * wobble(78.233) },
    loss: 2.3 * Math.exp(-step / 2000),
    learning_rate: step < 1500 ? 0.4 : 0.2,
  };
}

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "noisescale-alerts-"));
  const webhooks = [{ name: "ops", kind: "slack", url: "http://127.0.0.1:1/" } as const];
  const config = { alerts: { webhooks, projects: { digits: { uncalibrated: true } } } };
  collector = await startCollector({ dataDirectory: directory, port: 0, config });
  browser = await launchBrowser();
  await write("PUT", "/v1/runs/mnist-7", { project: "digits", name: "MNIST, 784-128-10", group: "rates" });
  for (let from = 0; from < 3000; from += 1000) {
    const measurements = Array.from({ length: 1000 }, (_, i) => measurement(from + i));
    await write("POST", "/v1/runs/mnist-7/measurements", { measurements });
  }
  await write("PUT", "/v1/runs/hostile", { project: "digits", name: hostile });
  const events = [{ step: 3, time_ms: Date.now() - 60_000, kind: "dropped", code: "not-finite" }];
  await write("POST", "/v1/runs/hostile/events", { events });
  await write("PUT", "/v1/runs/fine", { project: "digits", name: "A run without alerts" });
});
afterAll(async () => {
  await browser?.close();
  await collector?.close();
  await rm(directory, { recursive: true });
});

const looks = [
  ["light", 1240],
  ["dark", 1240],
  ["light", 400],
] as const;

test.each(looks)("a run shows its alerts as a panel and in words (%s, %d px)", async (colorScheme, width) => {
  const { page, errors, foreign } = await watchedPage(browser, collector.url, { width, colorScheme });
  await page.goto(`${collector.url}/runs/mnist-7`);
  const panel = page.getByRole("region", { name: "Alerts" });
  await panel.getByText(/is too small: .* is recommended, since step/).waitFor();
  const list = page.locator(".record .alert-list");
  const titles = await list.locator("strong").allTextContents();
  expect(titles).toEqual([
    expect.stringMatching(/^The batch of 256 is too small: [12],\d\d\d is recommended$/),
    // Right after a jump its upper end may not be known yet.
    expect.stringMatching(/^B_simple jumped from 2\d\d to (at least \d\d\d|[12],?\d\d\d)$/),
    "The learning rate was multiplied by 0.5 at step 1,500",
    "The batch size was multiplied by 0.25 at step 900",
    expect.stringMatching(/^The batch of 1,024 is too large: 2\d\d is recommended$/),
  ]);
  await screenshot(page, `alerts-run-${colorScheme}-${width}`);
  const overflow = await page.evaluate(
    () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
  );
  expect(overflow).toBeLessThanOrEqual(0);
  expect({ errors, foreign }).toEqual({ errors: [], foreign: [] });
  await page.close();
});

test.each(looks)(
  "all alerts stand in one list, with how their delivery goes (%s, %d px)",
  async (colorScheme, width) => {
    const { page, errors, foreign } = await watchedPage(browser, collector.url, { width, colorScheme });
    await page.goto(collector.url);
    const row = page.getByRole("row", { name: /MNIST/ });
    await row.getByText("batch too small").waitFor();
    expect(
      await page
        .getByRole("row", { name: /A run without alerts/ })
        .locator(".severity")
        .count(),
    ).toBe(0);
    await screenshot(page, `alerts-list-${colorScheme}-${width}`);
    await page.getByRole("link", { name: "All alerts" }).click();
    await page.getByRole("heading", { name: "Alerts" }).waitFor();
    const items = page.locator(".alert-list > .alert");
    expect(await items.count()).toBe(6);
    expect(await items.first().textContent()).toContain("is too small");
    await items.getByText(hostile).waitFor();
    await page.getByText("no answer").waitFor();
    await screenshot(page, `alerts-all-${colorScheme}-${width}`);
    await items.first().getByRole("link").click();
    await page.getByRole("region", { name: "Alerts" }).waitFor();
    expect(await page.title()).not.toBe("taken");
    expect({ errors, foreign }).toEqual({ errors: [], foreign: [] });
    await page.close();
  },
);
