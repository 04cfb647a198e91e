import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { estimateText, numberText, panelNames, panelTitle } from "@noisescale/charts";
import { type Snapshot, snapshotSchema } from "@noisescale/protocol";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { figure, launchBrowser, screenshot, type WatchedPage, watchedPage } from "./browser.ts";
import { CommandProcess } from "./command-process.ts";

let directory: string;
let browser: Browser;
let demo: CommandProcess;
let address: string;
let live: WatchedPage;

const origin = (): string => new URL(address).origin;
const snapshot = async (): Promise<Snapshot> =>
  snapshotSchema.parse(await (await fetch(`${origin()}/v1${new URL(address).pathname}/snapshot`)).json());

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "noisescale-page-"));
  browser = await launchBrowser();
  demo = CommandProcess.ofSources("demo", "--data", directory);
  const [, found] = await demo.says(/Live page: (\S+)/);
  address = found ?? "";
  live = await watchedPage(browser, origin(), { width: 1240 });
  // At once, as a user who clicks the printed address.
  await live.page.goto(address);
});
afterAll(async () => {
  await browser?.close();
  await demo?.kill();
  await rm(directory, { recursive: true });
});

describe("the page of a run that trains on real digits", () => {
  test("follows the run while it trains, without a reload", async () => {
    const { page } = live;
    await page.getByText("live", { exact: true }).first().waitFor();
    await page.waitForFunction(() => /^[\d,.]+$/.test(document.querySelector(".figure-value")?.textContent ?? ""));
    const early = await page.locator(".figure").last().textContent();
    await page.waitForFunction((text) => document.querySelector(".figure:last-child")?.textContent !== text, early);
    await screenshot(page, "run-live");
  });

  test("shows at the end the collector's own numbers, and that the run has finished", async () => {
    const { page } = live;
    await demo.says(/The page is still served/);
    await page.getByText("finished", { exact: true }).first().waitFor();
    const { b_simple: noiseScale, recommendation } = await snapshot();
    expect(await figure(page, "B_simple now")).toBe(estimateText(noiseScale ?? Number.NaN));
    expect(await figure(page, "Recommended batch size")).toBe(numberText(recommendation.batch_size ?? Number.NaN));
    expect(await page.getByRole("heading", { level: 1 }).textContent()).toMatch(
      /a batch of [\d,]+ would take|about right/,
    );
  });

  test("draws every panel, each with its numbers as text", async () => {
    const { page } = live;
    // The demo's run gives no cause for an alert; alerts.test.ts has one that does.
    for (const panel of panelNames.filter((name) => name !== "alerts")) {
      const section = page.getByRole("region", { name: panelTitle(panel) });
      await section.getByRole("img").waitFor();
      expect(await section.locator(".panel-text").textContent()).toMatch(/\d/);
      const inked = await section.locator("canvas").evaluate((canvas) => {
        const { width, height } = canvas as HTMLCanvasElement;
        const pixels = (canvas as HTMLCanvasElement).getContext("2d")?.getImageData(0, 0, width, height).data ?? [];
        return new Set(Array.from({ length: pixels.length / 4 }, (_, i) => `${pixels[4 * i]} ${pixels[4 * i + 2]}`))
          .size;
      });
      expect(inked).toBeGreaterThan(20);
    }
    await screenshot(page, "run-finished-light");
  });

  test.each([
    ["dark", 1240],
    ["light", 400],
    ["dark", 400],
  ] as const)("is whole in %s at %i pixels: nothing runs off the side", async (colorScheme, width) => {
    const { page, errors } = await watchedPage(browser, origin(), { width, colorScheme });
    await page.goto(address);
    await page.getByText("finished", { exact: true }).first().waitFor();
    await page.locator("canvas").last().waitFor();
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
    expect(errors).toEqual([]);
    await screenshot(page, `run-${colorScheme}-${width}`);
    await page.close();
  });

  test("is reached from the run list by keyboard", async () => {
    const { page, errors } = await watchedPage(browser, origin(), { width: 1240 });
    await page.goto(origin());
    const link = page.getByRole("link", { name: /MNIST digits/ });
    await link.focus();
    await screenshot(page, "run-list");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { level: 1 }).waitFor();
    expect(new URL(page.url()).pathname).toBe(new URL(address).pathname);
    expect(errors).toEqual([]);
    await page.close();
  });

  test("has asked only its own collector, and has logged no error", () => {
    expect(live.foreign).toEqual([]);
    expect(live.errors).toEqual([]);
  });

  test("says that the collector is gone once Ctrl-C has ended the demo, which answers 0", async () => {
    demo.signal("SIGINT");
    expect(await demo.exit()).toBe(0);
    await live.page.getByRole("alert").waitFor({ state: "visible" });
    await screenshot(live.page, "collector-gone");
  });
});
