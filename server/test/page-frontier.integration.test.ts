import { mkdirSync } from "node:fs";
import { afterAll, beforeAll, expect, it, onTestFinished } from "vitest";
import { launchBrowser } from "../../packages/charts/test/browser.ts";
import { sweepMeasurements } from "./sweep-source.ts";
import { startTestCollector } from "./test-collector.ts";

let browser: Awaited<ReturnType<typeof launchBrowser>>;

beforeAll(async () => {
  browser = await launchBrowser();
});
afterAll(() => browser?.close());

/** Where pictures are kept for people to look at; undefined: nowhere. */
const pictures = process.env["NOISESCALE_PICTURES"];

it.each([
  { width: 1240, colorScheme: "light" },
  { width: 1240, colorScheme: "dark" },
  { width: 400, colorScheme: "light" },
] as const)(
  "a group's page fits a target, shows the frontier with its runs, and says what cannot be fitted: $width px, $colorScheme",
  async ({ width, colorScheme }) => {
    const collector = await startTestCollector();
    for (const batchSize of [8, 32, 128, 512, 2048]) {
      for (const seed of [1, 2, 3]) {
        const run = `b${batchSize}-seed-${seed}`;
        await collector.request("PUT", `/v1/runs/${run}`, { project: "digits", group: "sweep" });
        const measurements = sweepMeasurements({
          batchSize,
          seed,
          evaluation: "validation_loss",
          learningRate: 0.1,
          slowness: 1 + 0.03 * seed,
          progress: batchSize === 8 && seed === 3 ? 30 : 80,
        });
        await collector.request("POST", `/v1/runs/${run}/measurements`, { measurements });
      }
    }
    const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme });
    onTestFinished(() => page.close());
    const errors: string[] = [];
    page.on("pageerror", (error) => errors.push(error.message));
    await page.goto(`${collector.collector.url}/groups/sweep`);
    const fit = async (target: string): Promise<void> => {
      await page.getByLabel("Target").fill(target);
      await page.getByRole("button", { name: "Fit" }).click();
    };
    await fit("validation_loss<=1");
    await page.getByText(/^Critical batch size \d+ to reach 1\.$/).waitFor();
    await fit("validation_loss<=0.5");
    await page.getByText(/^Critical batch size \d+ to reach 0\.5\.$/).waitFor();
    // The last target in front; both in the panel of batch size against loss.
    await page.getByRole("heading", { name: "Critical batch size against loss" }).waitFor();
    const rows = page.locator(".sweep-runs tbody tr");
    expect(await rows.count()).toBe(15);
    expect(await rows.filter({ hasText: "still running" }).allTextContents()).toHaveLength(1);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
    expect(wide).toBe(false);
    if (pictures !== undefined) {
      mkdirSync(pictures, { recursive: true });
      await page.screenshot({ path: `${pictures}/group-${width}-${colorScheme}.png`, fullPage: true });
    }
    await fit("validation_loss<=0.00001");
    const refusal = page.locator(".refusal");
    await refusal.getByText("cannot be fitted").waitFor();
    expect(await refusal.textContent()).toMatch(/b8-seed-1, .*: is still running and has not met the target/);
    if (pictures !== undefined) {
      await page.locator(".group-frontier").screenshot({ path: `${pictures}/refused-${width}-${colorScheme}.png` });
    }
    // What was fitted is there again when the page is opened anew.
    await page.reload();
    await page.getByText(/^Critical batch size \d+ to reach 0\.5\.$/).waitFor();
    expect(errors).toEqual([]);
  },
);
