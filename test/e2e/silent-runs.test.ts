import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Collector, type CollectorConfigInput, startCollector } from "@noisescale/server";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { silentLogger } from "../../server/test/silent-logger.ts";
import { launchBrowser, screenshot, watchedPage } from "./browser.ts";

let directory: string;
let collector: Collector;
let browser: Browser;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "noisescale-silent-"));
  const config: CollectorConfigInput = {
    alerts: { projects: { quick: { silence_seconds: 3, off: ["measurements-stopped"] } } },
  };
  // Silence is what this is about.
  collector = await startCollector({ dataDirectory: directory, port: 0, config, logger: silentLogger });
  browser = await launchBrowser();
});
afterAll(async () => {
  await browser?.close();
  await collector?.close();
  await rm(directory, { recursive: true });
});

async function write(method: string, path: string, body: unknown): Promise<void> {
  const headers = { "content-type": "application/json" };
  const response = await fetch(`${collector.url}/v1/runs/${path}`, { method, headers, body: JSON.stringify(body) });
  if (!response.ok) throw new Error(await response.text());
}
/** The last of them lies so long ago [ms]. */
const measure = (run: string, from: number, to: number, agoMs: number): Promise<void> =>
  write("POST", `${run}/measurements`, {
    measurements: Array.from({ length: to - from }, (_, i) => ({
      step: from + i,
      time_ms: Date.now() - agoMs - 1000 * (to - from - 1 - i),
      small: { batch_size: 8, squared_norm: 2 + Math.sin(from + i), count: 4 },
      big: { batch_size: 32, squared_norm: 1 + 0.25 * Math.sin(from + i) },
    })),
  });

test("a run whose hook never closed falls silent on its page and in the list, says since when, and is live with its next measurement", async () => {
  const hours = 3_600_000;
  for (const [run, project, agoMs] of [
    ["gone", "quick", 3 * hours],
    ["done", "slow", 5 * hours],
    ["going", "slow", 0],
  ] as const) {
    await write("PUT", run, { project });
    await measure(run, 0, 100, agoMs);
  }
  await write("POST", "done/events", { events: [{ step: 100, time_ms: Date.now(), kind: "finished", code: "end" }] });

  const { page, errors } = await watchedPage(browser, collector.url, { width: 1240 });
  await page.goto(`${collector.url}/runs/gone`);
  const header = page.locator(".run-header");
  await header.getByText("silent", { exact: true }).waitFor();
  expect(await header.locator(".facts").textContent()).toContain("last measurement 3 hours ago");
  expect(await header.locator(".state").getAttribute("title")).toContain("its end was not reported");
  await screenshot(page, "silent-run");

  for (const [colorScheme, width] of [
    ["light", 1240],
    ["dark", 1240],
    ["light", 400],
  ] as const) {
    const list = await watchedPage(browser, collector.url, { width, colorScheme });
    await list.page.goto(collector.url);
    const row = list.page.getByRole("row", { name: /gone/ });
    await row.getByText("silent", { exact: true }).waitFor();
    expect(await row.locator(".column-time").textContent()).toBe("3 hours ago");
    expect(await list.page.locator(".list-header .facts").textContent()).toContain("3 runs, 1 live, 1 silent");
    const states = await list.page.locator("td .state").allTextContents();
    expect(states).toEqual(["live", "silent", "finished"]);
    await screenshot(list.page, `silent-list-${colorScheme}-${width}`);
    expect(list.errors).toEqual([]);
    await list.page.close();
  }

  await measure("gone", 100, 101, 0);
  await header.getByText("live", { exact: true }).waitFor();
  await header.getByText("step 100").waitFor();
  // No alert of that is raised here: the page asks by itself.
  await header.getByText("silent", { exact: true }).waitFor();
  expect(errors).toEqual([]);
  await page.close();
});
