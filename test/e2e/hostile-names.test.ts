import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Collector, startCollector } from "@noisescale/server";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { launchBrowser, watchedPage } from "./browser.ts";

const names = [
  "<img src=x onerror=\"document.title='taken'\">",
  "</script><script>document.title='taken'</script>",
  "__proto__",
  "../../x",
  "' onmouseover='1",
];

let directory: string;
let collector: Collector;
let browser: Browser;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "noisescale-names-"));
  collector = await startCollector({ dataDirectory: directory, port: 0, config: {} });
  browser = await launchBrowser();
  for (const [index, name] of names.entries()) {
    const response = await fetch(`${collector.url}/v1/runs/run-${index}`, {
      method: "PUT",
      headers: { "content-type": "application/json" },
      body: `{"project": "p", "group": "g", "name": ${JSON.stringify(name)}, "tags": {${JSON.stringify(name)}: ${JSON.stringify(name)}}}`,
    });
    expect(response.status).toBe(201);
    const measurements = Array.from({ length: 30 }, (_, step) => ({
      step,
      time_ms: step,
      small: { batch_size: 8, squared_norm: 2 + Math.sin(step), count: 4 },
      big: { batch_size: 32, squared_norm: 1 + Math.cos(3 * step) / 4 },
    }));
    await fetch(`${collector.url}/v1/runs/run-${index}/measurements`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ measurements }),
    });
  }
});
afterAll(async () => {
  await browser?.close();
  await collector?.close();
  await rm(directory, { recursive: true });
});

test.each(["/", "/groups/g", ...names.map((_, index) => `/runs/run-${index}`)])(
  "%s shows hostile names as text",
  async (path) => {
    const { page, errors, foreign } = await watchedPage(browser, collector.url, { width: 1240 });
    await page.goto(collector.url + path);
    const shown = path.startsWith("/runs/") ? [names[Number(path.at(-1))] ?? ""] : names;
    for (const name of shown) await page.getByText(name).first().waitFor({ state: "attached" });
    expect(await page.title()).not.toBe("taken");
    expect({ errors, foreign }).toEqual({ errors: [], foreign: [] });
    await page.close();
  },
);

test.each(names.map((name, index) => [name, index] as const))(
  "the stand-alone panel of a run named %s runs nothing of it",
  async (name, index) => {
    const { page, errors, foreign } = await watchedPage(browser, collector.url, { width: 800 });
    await page.goto(`${collector.url}/v1/runs/run-${index}/panels/noise-scale.html`);
    await page.getByText(name).first().waitFor({ state: "attached" });
    expect(await page.title()).not.toBe("taken");
    expect({ errors, foreign }).toEqual({ errors: [], foreign: [] });
    await page.close();
  },
);
