import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { launchBrowser } from "../../packages/charts/test/browser.ts";
import { startTestCollector, type TestCollector } from "./test-collector.ts";

let browser: Awaited<ReturnType<typeof launchBrowser>>;

beforeAll(async () => {
  browser = await launchBrowser();
});
afterAll(() => browser?.close());

/** A page of the collector, and what its scripts complain of. */
async function open({ collector }: TestCollector, path: string) {
  const page = await browser.newPage({ viewport: { width: 1240, height: 900 } });
  onTestFinished(() => page.close());
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(error.message));
  await page.goto(collector.url + path);
  return { page, errors };
}

/** A run whose noise scale is about `scale` examples: |G|² = 1/scale, tr Σ = 1, with a wobble of a thousandth. */
async function measure(collector: TestCollector, run: string, group: string, scale: number): Promise<void> {
  const declared = await collector.request("PUT", `/v1/runs/${run}`, { project: "p", group });
  expect(declared.status).toBe(201);
  const measurements = Array.from({ length: 60 }, (_, step) => {
    const wobble = 1 + 0.001 * Math.sin(step);
    return {
      step,
      time_ms: scale + step,
      small: { batch_size: 16, squared_norm: (1 / scale + 1 / 16) * wobble, count: 8 },
      big: { batch_size: 128, squared_norm: (1 / scale + 1 / 128) * wobble },
    };
  });
  expect((await collector.request("POST", `/v1/runs/${run}/measurements`, { measurements })).status).toBe(200);
}

describe("page of a collector", () => {
  it("says how to begin where there is no run, and shows the first one without a reload", async () => {
    const collector = await startTestCollector();
    const { page, errors } = await open(collector, "/");
    await page.getByRole("heading", { name: "No run yet" }).waitFor();
    expect(await page.locator("pre").last().textContent()).toContain(collector.collector.url);
    await measure(collector, "first", "g", 100);
    await page.getByRole("link", { name: "first" }).waitFor();
    expect(errors).toEqual([]);
  });

  it.each([
    ["/runs/never-declared", "never-declared"],
    ["/groups/of-nobody", "of-nobody"],
  ])("says at %s that there is nothing by that name, and leads to the list", async (path, name) => {
    const { page, errors } = await open(await startTestCollector(), path);
    await page.getByText(name).waitFor();
    await page.getByRole("link", { name: "All runs" }).last().click();
    await page.getByRole("heading", { name: "No run yet" }).waitFor();
    expect(errors).toEqual([]);
  });

  it("lists an alert that is not over first, however many came after it", async () => {
    const collector = await startTestCollector({ config: { alerts: { uncalibrated: true } } });
    await collector.request("PUT", "/v1/runs/a", { project: "p" });
    const measurements = Array.from({ length: 500 }, (_, step) => {
      const wobble = 1 + 0.1 * Math.sin(step);
      return {
        step,
        time_ms: 1_790_000_000_000 + 100 * step,
        small: { batch_size: 128, squared_norm: (1 / 256 + 1 / 128) * wobble, count: 8 },
        big: { batch_size: 1024, squared_norm: (1 / 256 + 1 / 1024) * wobble },
      };
    });
    await collector.request("POST", "/v1/runs/a/measurements", { measurements });
    const events = Array.from({ length: 120 }, (_, i) => ({
      step: 10_000 * (i + 1),
      time_ms: 1_790_000_000_000 + i,
      kind: "dropped",
      code: "not-finite",
    }));
    await collector.request("POST", "/v1/runs/a/events", { events });
    const { page, errors } = await open(collector, "/alerts");
    await page.getByText("1 not over, 100 past").waitFor();
    expect(await page.locator(".alert").first().textContent()).toContain("too large");
    await page.goto(`${collector.collector.url}/runs/a`);
    const first = page.locator(".alert").first();
    await first.waitFor();
    expect(await first.getAttribute("data-lasts")).toBe("true");
    expect(errors).toEqual([]);
  });

  it("sorts by a column, folds a group, and keeps the focus while it does", async () => {
    const collector = await startTestCollector();
    for (const [run, group, scale] of [
      ["a", "pair", 300],
      ["b", "pair", 100],
      ["c", "alone", 200],
    ] as const) {
      await measure(collector, run, group, scale);
    }
    const { page, errors } = await open(collector, "/");
    const names = () => page.locator("tbody .column-name a").allTextContents();
    const sort = page.getByRole("button", { name: "B_simple" });
    await sort.focus();
    await page.keyboard.press("Enter");
    expect(await names()).toEqual(["a", "b", "c"]);
    await page.keyboard.press("Enter");
    expect(await names()).toEqual(["b", "a", "c"]);
    expect(await page.locator("th[aria-sort]").getAttribute("aria-sort")).toBe("ascending");
    const fold = page.getByRole("button", { name: "pair" });
    await fold.focus();
    await page.keyboard.press("Space");
    expect(await names()).toEqual(["c"]);
    expect(await fold.getAttribute("aria-expanded")).toBe("false");
    expect(await fold.evaluate((button) => button === document.activeElement)).toBe(true);
    expect(errors).toEqual([]);
  });

  it("overlays the runs of a group, and puts the chosen one in front", async () => {
    const collector = await startTestCollector();
    await measure(collector, "wide", "pair", 300);
    await measure(collector, "narrow", "pair", 100);
    const { page, errors } = await open(collector, "/groups/pair");
    const text = page.locator(".panel-text");
    await text.getByText("Behind it, where each was last known: narrow").waitFor();
    await page.getByRole("radio", { name: "Draw narrow in colour" }).check();
    await text.getByText("Behind it, where each was last known: wide").waitFor();
    expect(errors).toEqual([]);
  });

  it("reads any step off a panel by keyboard, on every panel over steps at once", async () => {
    const collector = await startTestCollector();
    await measure(collector, "a", "g", 300);
    const { page, errors } = await open(collector, "/runs/a");
    const panel = page.getByRole("region", { name: "Noise scale" });
    await panel.getByText("B_simple at step 59").waitFor();
    await panel.getByRole("img").focus();
    await page.keyboard.press("Home");
    await panel.getByText("step 0 · B_simple not known").waitFor();
    await page.keyboard.press("End");
    await panel.getByText("step 59 · B_simple").waitFor();
    await page.getByRole("region", { name: "Signal and noise" }).getByText("step 59 · |G|²").waitFor();
    await page.keyboard.press("Escape");
    await panel.getByText("B_simple at step 59").waitFor();
    expect(errors).toEqual([]);
  });

  it("shows loss, learning rate and layers where the hook reports them, and reads the step off the panels over steps", async () => {
    const collector = await startTestCollector();
    await collector.request("PUT", "/v1/runs/whole", { project: "p", optimizer: "sgd" });
    const measurements = Array.from({ length: 300 }, (_, step) => {
      const wobble = 1 + 0.001 * Math.sin(step);
      const loss = 2 * Math.exp(-step / 150);
      const [small, big] = [(loss / 200 + 1 / 16) * wobble, (loss / 200 + 1 / 128) * wobble];
      return {
        step,
        time_ms: step,
        small: { batch_size: 16, squared_norm: small, count: 8 },
        big: { batch_size: 128, squared_norm: big },
        loss,
        learning_rate: step < 200 ? 0.1 : 0.01,
        layers: { "dense_1/kernel": [0.7 * small, 0.7 * big], "dense_2/kernel": [0.3 * small, 0.3 * big] },
      };
    });
    await collector.request("POST", "/v1/runs/whole/measurements", { measurements });
    const { page, errors } = await open(collector, "/runs/whole");
    await page.getByRole("region", { name: "Power law of the loss" }).getByText("Power law:").waitFor();
    await page.getByRole("region", { name: "Layers" }).getByText("dense_1/kernel").waitFor();
    await page.getByRole("list", { name: "What to know" }).waitFor({ state: "hidden" });
    expect(await page.locator(".basis").textContent()).toContain("is being changed");
    const panel = page.getByRole("region", { name: "Learning rate and temperature" });
    await panel.getByText("One change by step 200: rate ×0.1.").waitFor();
    await panel.getByRole("img").focus();
    await page.keyboard.press("End");
    await panel.getByText("step 299 · learning rate 0.01 · batch 128 · rate/batch 7.81e-5").waitFor();
    await page.getByRole("region", { name: "Adaptive schedule" }).getByText("step 299 · adaptive").waitFor();
    expect(errors).toEqual([]);
  });

  it("has no panel of what the hook does not report", async () => {
    const collector = await startTestCollector();
    await measure(collector, "plain", "g", 300);
    const { page } = await open(collector, "/runs/plain");
    await page.getByRole("region", { name: "Adaptive schedule" }).waitFor();
    expect(await page.getByRole("region").getByRole("heading", { level: 2 }).allTextContents()).toEqual([
      "Noise scale",
      "Time against compute",
      "What another batch size costs",
      "Adaptive schedule",
      "Signal and noise",
    ]);
  });

  it("says when the run was deleted elsewhere", async () => {
    const collector = await startTestCollector();
    await measure(collector, "doomed", "g", 300);
    const { page } = await open(collector, "/runs/doomed");
    await page.getByRole("region", { name: "Noise scale" }).waitFor();
    await collector.request("DELETE", "/v1/runs/doomed");
    await page.getByText("The run doomed was deleted.").waitFor();
  });
});
