import { panelsOf, panelText, panelTitle, summaryMarkdown } from "@noisescale/charts";
import { renderPanelHtml } from "@noisescale/charts/html";
import { renderPanelPng } from "@noisescale/charts/png";
import type { PanelFile, Point } from "@noisescale/tracker";
import { mlflowTracker } from "@noisescale/tracker-mlflow";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { longRun as data } from "../../packages/charts/test/panel-fixture.ts";
import { MlflowServer } from "../../plugins/tracker-mlflow/test/mlflow-server.ts";
import { launchBrowser, screenshot, type WatchedPage, watchedPage } from "./browser.ts";

// An account that lives as long as this file's server.
const account = { username: "admin", password: "correct-horse-battery" };
const withAccounts = {
  options: ["--app-name", "basic-auth"],
  environment: {
    MLFLOW_AUTH_ADMIN_USERNAME: account.username,
    MLFLOW_AUTH_ADMIN_PASSWORD: account.password,
    MLFLOW_FLASK_SERVER_SECRET_KEY: "of this test",
  },
};
const startMs = 1_790_000_000_000;
/** A server with accounts hashes the password of every request. */
const waits = { timeout: 60_000 };

let browser: Browser;
beforeAll(async () => {
  browser = await launchBrowser();
});
afterAll(async () => {
  await browser?.close();
});

function points(): Point[] {
  const { loss, learning_rate, ...pushed } = data.series.columns;
  const { batch_size: batchSize = [], b_simple: noiseScale = [] } = pushed;
  const efficiency = noiseScale.map((scale, row) => (scale === null ? null : scale / (scale + (batchSize[row] ?? 0))));
  return Object.entries({ ...pushed, efficiency }).flatMap(([name, values = []]) =>
    values.flatMap((value, row) => {
      const step = data.series.step[row] ?? 0;
      return value === null ? [] : [{ key: `noise_scale/${name}`, step, timeMs: startMs + 1000 * step, value }];
    }),
  );
}
function panels(pixelRatio: number | undefined = 2): PanelFile[] {
  return panelsOf(data).flatMap((panel): PanelFile[] => {
    const about = { panel, title: panelTitle(panel), step: 1995, timeMs: startMs };
    const html = new TextEncoder().encode(renderPanelHtml([panel], data));
    return [
      { ...about, contentType: "text/html", bytes: html },
      { ...about, contentType: "image/png", bytes: renderPanelPng(panel, data, { pixelRatio }) },
    ];
  });
}

describe.each([
  { server: "an open server", name: "open", options: [], environment: {}, entry: {} },
  { server: "a server with accounts", name: "accounts", ...withAccounts, entry: account },
])("MLflow's page of $server", ({ name, options, environment, entry }) => {
  let server: MlflowServer;
  let runPath: string;
  let experimentId: string;
  let view: string;
  beforeAll(async () => {
    server = await MlflowServer.start(options, environment);
    const tracker = mlflowTracker({ trackingUri: server.url, ...entry });
    const context = { run: "shown", project: "digits", name: "Digits 7", queue: "0123456789abcdef" };
    const run = await tracker.openRun({}, context);
    const note = { markdown: summaryMarkdown(data.name, data.snapshot), step: 1995, timeMs: startMs };
    await run.send({ points: points(), panels: panels(tracker.capabilities.picturePixelRatio), note }, null);
    await tracker.close();
    runPath = new URL(run.url ?? "").hash;
    experimentId = runPath.split("/")[2] ?? "";
    const { username, password } = account;
    const answer = await fetch(`${server.url}/api/2.0/mlflow/experiments/get?experiment_id=${experimentId}`, {
      headers: { authorization: `Basic ${btoa(`${username}:${password}`)}` },
    });
    const { experiment } = (await answer.json()) as { experiment: { tags: { key: string }[] } };
    const prefix = "mlflow.sharedViewState.";
    view = experiment.tags.find(({ key }) => key.startsWith(prefix))?.key.replace(prefix, "") ?? "";
  });
  afterAll(async () => {
    await server?.stop();
  });

  async function opened(path: string): Promise<WatchedPage["page"]> {
    const credentials = "username" in entry ? { account: entry } : {};
    const { page } = await watchedPage(browser, server.url, { width: 1600, ...credentials });
    await page.goto(`${server.url}/${path}`);
    // Opens by itself beside everything on a server of this machine.
    await page.locator('[data-component-id="mlflow.assistant.chat_panel.close"]').click();
    return page;
  }

  test("has the view, which draws the charts in a section of their own", async () => {
    const page = await opened(`#/experiments/${experimentId}/runs?viewStateShareKey=${view}&compareRunsMode=CHART`);
    await page.locator(".js-plotly-plot").nth(4).waitFor();
    await page.getByText("noise_scale/efficiency", { exact: true }).first().waitFor();
    await screenshot(page, `mlflow-${name}-view`);
    await page.close();
  });

  test("has the note with its pictures on the run's page", async () => {
    const page = await opened(runPath);
    await page.getByText("Show more").first().click();
    const picture = page.locator("img[src*=get-artifact]").first();
    expect(await picture.getAttribute("src")).toContain("noise-scale.png");
    await expect.poll(() => picture.evaluate((image) => (image as HTMLImageElement).naturalWidth), waits).toBe(720);
    // Beside MLflow's own navigation it fits into the window: a picture that is too wide pushes the metrics out of sight.
    const box = await picture.boundingBox();
    expect((box?.x ?? 0) + (box?.width ?? 0)).toBeLessThan(1600);
    await screenshot(page, `mlflow-${name}-run`);
    await page.close();
  });

  test("shows a panel's page among the run's artifacts, drawn, with its numbers as text", async () => {
    const page = await opened(`${runPath}/artifacts/noise_scale/noise-scale.html`);
    const frame = page.frameLocator("iframe");
    await frame.getByRole("heading", { name: panelTitle("noise-scale") }).waitFor();
    expect(await frame.locator(".text").textContent()).toContain(panelText("noise-scale", data).slice(0, 20));
    await screenshot(page, `mlflow-${name}-artifact`);
    await page.close();
  });
});
