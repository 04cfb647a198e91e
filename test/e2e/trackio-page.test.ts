import { panelsOf, panelTitle } from "@noisescale/charts";
import { renderPanelHtml } from "@noisescale/charts/html";
import { metricKey, type PanelFile } from "@noisescale/tracker";
import { trackioTracker } from "@noisescale/tracker-trackio";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { longRun as data } from "../../packages/charts/test/panel-fixture.ts";
import { TrackioServer } from "../../plugins/tracker-trackio/test/trackio-server.ts";
import { launchBrowser, screenshot, watchedPage } from "./browser.ts";

let server: TrackioServer;
let browser: Browser;
beforeAll(async () => {
  [server, browser] = await Promise.all([TrackioServer.start(), launchBrowser()]);
});
afterAll(async () => {
  await browser?.close();
  await server?.stop();
});

test("trackio's page charts the metrics in a group of their own, and shows each panel drawn, with its numbers as text", async () => {
  const tracker = trackioTracker({ serverUrl: server.url, writeToken: server.writeToken });
  const context = { run: "shown", project: "digits", name: "Digits 7", queue: "0123456789abcdef" };
  const run = await tracker.openRun({}, context);
  const points = Array.from({ length: 40 }, (_, step) => ({
    key: metricKey.bSimple,
    step,
    timeMs: 1_790_000_000_000 + step,
    value: 200 + 5 * step,
  }));
  const panels = panelsOf(data).map((panel): PanelFile => {
    const bytes = new TextEncoder().encode(renderPanelHtml([panel], data));
    return { panel, title: panelTitle(panel), contentType: "text/html", bytes, step: 39, timeMs: 1_790_000_000_000 };
  });
  await run.send({ points, panels }, null);
  await tracker.close();

  const { page, errors } = await watchedPage(browser, server.url, { width: 1240 });
  await page.goto(run.url ?? "");
  await page.getByText("noise_scale").first().waitFor();
  await page.getByText("b_simple").first().waitFor();
  await screenshot(page, "trackio-metrics");

  // All of them in view: frames are loaded when they come into it.
  await page.setViewportSize({ width: 1240, height: 3000 });
  await page.goto(`${server.url}/media?${new URL(run.url ?? "").searchParams}`);
  for (const panel of panelsOf(data)) {
    const frame = page.frameLocator(`iframe[title="${panelTitle(panel)}"]`);
    await frame.getByRole("heading", { name: panelTitle(panel) }).waitFor();
    expect(await frame.locator(".text").textContent()).toMatch(/\d/);
  }
  await screenshot(page, "trackio-media");
  expect(errors).toEqual([]);
  await page.close();
});
