import { panelsOf, panelTitle } from "@noisescale/charts";
import { renderPanelHtml } from "@noisescale/charts/html";
import { metricKey, type PanelFile } from "@noisescale/tracker";
import { wandbTracker } from "@noisescale/tracker-wandb";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { longRun as data } from "../../packages/charts/test/panel-fixture.ts";
import { apiKey, WandbServer } from "../../plugins/tracker-wandb/test/wandb-server.ts";
import { launchBrowser, screenshot, watchedPage } from "./browser.ts";

let server: WandbServer;
let browser: Browser;
/** The pages as the server stored them, by the key that its history shows them under. */
const stored = new Map<string, string>();
beforeAll(async () => {
  [server, browser] = await Promise.all([WandbServer.start(), launchBrowser()]);
  const tracker = wandbTracker({ apiKey, baseUrl: server.url });
  const context = { run: "shown", project: "digits", name: "Digits 7", queue: "0123456789abcdef" };
  const run = await tracker.openRun({}, context);
  const timeMs = 1_790_000_000_000;
  const panels = panelsOf(data).map((panel): PanelFile => {
    const bytes = new TextEncoder().encode(renderPanelHtml([panel], data));
    return { panel, title: panelTitle(panel), contentType: "text/html", bytes, step: 39, timeMs };
  });
  await run.send({ points: [{ key: metricKey.bSimple, step: 39, timeMs, value: 400 }], panels }, null);
  await tracker.close();
  const companion = [...server.runs.values()][0];
  for (const row of companion?.rows ?? []) {
    for (const [key, value] of Object.entries(row.content)) {
      const { _type: type, path } = value as { _type?: string; path?: string };
      if (type === "html-file") stored.set(key, companion?.files.get(path ?? "")?.toString("utf8") ?? "");
    }
  }
});
afterAll(async () => {
  await browser?.close();
  await server?.stop();
});

test.each(["light", "dark"] as const)(
  "each panel that W&B was sent is a page that draws itself in a frame of its own, %s",
  async (scheme) => {
    expect([...stored.keys()]).toEqual(panelsOf(data).map((panel) => `noise_scale/panel/${panel}`));
    const { page, errors, foreign } = await watchedPage(browser, "about:", { width: 1240, colorScheme: scheme });
    // Cut off from the page around it, as a page of somebody else's should be, and as narrow as three panels beside one another.
    await page.setContent(`<style>
    body { margin: 12px; display: grid; grid-template-columns: repeat(3, 1fr); gap: 12px; background: ${scheme === "dark" ? "#222" : "#ddd"} }
    iframe { width: 100%; height: 420px; border: 0 }
  </style>`);
    await page.evaluate(
      (pages) => {
        for (const [title, content] of pages) {
          const frame = Object.assign(document.createElement("iframe"), { title, srcdoc: content });
          frame.setAttribute("sandbox", "allow-scripts");
          document.body.append(frame);
        }
      },
      [...stored],
    );
    await page.setViewportSize({ width: 1240, height: 1310 });
    for (const panel of panelsOf(data)) {
      const frame = page.frameLocator(`iframe[title="noise_scale/panel/${panel}"]`);
      await frame.getByRole("heading", { name: panelTitle(panel) }).waitFor();
      expect(await frame.locator(".text").textContent()).toMatch(/\d/);
      await frame.locator("canvas").first().waitFor();
      const sideways = await frame
        .locator("html")
        .evaluate(({ scrollWidth, clientWidth }) => scrollWidth - clientWidth);
      expect(sideways).toBe(0);
    }
    await screenshot(page, `wandb-panels-${scheme}`);
    expect([errors, foreign.filter((url) => url.startsWith("http"))]).toEqual([[], []]);
    await page.close();
  },
);
