import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { renderPanelHtml, renderSweepHtml } from "../src/html.ts";
import { headline, panelNames, panelTitle } from "../src/index.ts";
import { launchBrowser } from "./browser.ts";
import { data, hostileName, longRun, unmeasured } from "./panel-fixture.ts";
import { sweep } from "./sweep-fixture.ts";

let browser: Browser;
let directory: string;

beforeAll(async () => {
  browser = await launchBrowser();
  directory = mkdtempSync(join(tmpdir(), "noisescale-html-"));
});
afterAll(async () => {
  await browser?.close();
  rmSync(directory, { recursive: true });
});

/** Opens a file in a browser that is cut off; answers what went wrong and what it asked for. */
async function open(
  html: string,
  options: { readonly width?: number; readonly dark?: boolean } = {},
): Promise<{ readonly page: Page; readonly errors: string[]; readonly requests: string[] }> {
  const page = await browser.newPage({
    viewport: { width: options.width ?? 1240, height: 900 },
    colorScheme: options.dark ? "dark" : "light",
  });
  const errors: string[] = [];
  const requests: string[] = [];
  page.on("pageerror", (error) => errors.push(error.message));
  page.on("console", (message) => errors.push(message.text()));
  page.on("dialog", (dialog) => {
    errors.push(`dialog ${dialog.message()}`);
    void dialog.dismiss();
  });
  const file = join(directory, "panels.html");
  writeFileSync(file, html);
  await page.route("**/*", (route) => {
    if (route.request().url() === pathToFileURL(file).href) return route.continue();
    requests.push(route.request().url());
    return route.abort();
  });
  await page.goto(pathToFileURL(file).href);
  return { page, errors, requests };
}

/** How many colours stand on each canvas: one is a blank. */
function coloursDrawn(): number[] {
  return [...document.querySelectorAll("canvas")].map((canvas) => {
    const pixels = canvas.getContext("2d")?.getImageData(0, 0, canvas.width, canvas.height).data ?? [];
    const colours = new Set<number>();
    for (let at = 0; at < pixels.length; at += 4) {
      colours.add(((pixels[at] ?? 0) << 16) | ((pixels[at + 1] ?? 0) << 8) | (pixels[at + 2] ?? 0));
    }
    return colours.size;
  });
}

describe("page that stands alone", () => {
  it.each([
    { width: 1240, dark: false },
    { width: 1240, dark: true },
    { width: 400, dark: false },
  ])(
    "draws every panel at $width pixels, dark $dark, with no error, no request and nothing cut off",
    async (options) => {
      const { page, errors, requests } = await open(renderPanelHtml(panelNames, longRun), options);
      const colours = await page.evaluate(coloursDrawn);
      expect(colours).toHaveLength(panelNames.length);
      for (const count of colours) expect(count).toBeGreaterThan(10);
      expect(await page.getByRole("heading", { level: 1 }).textContent()).toBe(headline(longRun.snapshot).sentence);
      for (const panel of panelNames) await page.getByRole("heading", { name: panelTitle(panel) }).waitFor();
      expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(options.width);
      expect({ errors, requests }).toEqual({ errors: [], requests: [] });
      await page.close();
    },
  );

  it("shows hostile names as text, wherever they stand", async () => {
    const hostile = {
      ...longRun,
      name: hostileName,
      overlay: [{ name: hostileName, series: longRun.series }],
      snapshot: { ...longRun.snapshot, warnings: [{ code: hostileName, message: hostileName }] },
    };
    const { page, errors, requests } = await open(renderPanelHtml(panelNames, hostile));
    expect(await page.locator(".name").textContent()).toBe(hostileName);
    expect(await page.locator("img").count()).toBe(0);
    expect(Math.min(...(await page.evaluate(coloursDrawn)))).toBeGreaterThan(10);
    expect({ errors, requests }).toEqual({ errors: [], requests: [] });
    await page.close();
  });

  it("draws in a frame that may run scripts and nothing else", async () => {
    const frame = renderPanelHtml(["noise-scale"], data).replaceAll("&", "&amp;").replaceAll('"', "&quot;");
    const { page, errors, requests } = await open(
      `<!doctype html><iframe sandbox="allow-scripts" width="900" height="700" srcdoc="${frame}"></iframe>`,
    );
    const inner = page.frames()[1];
    await inner?.locator("canvas").waitFor();
    const [colours] = (await inner?.evaluate(coloursDrawn)) ?? [];
    expect(colours).toBeGreaterThan(10);
    expect({ errors, requests }).toEqual({ errors: [], requests: [] });
    await page.close();
  });

  it("has a sentence in place of every chart of a run without a measurement", async () => {
    const empty = { name: "new", snapshot: unmeasured, series: { step: [], columns: {} } };
    const { page, errors } = await open(renderPanelHtml(panelNames, empty));
    expect(await page.locator("canvas").count()).toBe(0);
    expect(await page.locator(".missing").count()).toBe(panelNames.length);
    expect(errors).toEqual([]);
    await page.close();
  });

  it("draws the panels of a sweep, with its name as text", async () => {
    for (const options of [
      { width: 1240, dark: false },
      { width: 400, dark: true },
    ]) {
      const { page, errors, requests } = await open(renderSweepHtml({ ...sweep, name: hostileName }), options);
      const colours = await page.evaluate(coloursDrawn);
      expect(colours).toHaveLength(2);
      expect(Math.min(...colours)).toBeGreaterThan(10);
      expect(await page.locator(".name").textContent()).toBe(hostileName);
      expect(await page.locator("img").count()).toBe(0);
      expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(options.width);
      expect({ errors, requests }).toEqual({ errors: [], requests: [] });
      await page.close();
    }
  });
});
