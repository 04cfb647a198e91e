import { metricKey, type RunContext } from "@noisescale/tracker";
import { mlflowTracker } from "@noisescale/tracker-mlflow";
import { afterAll, beforeAll, expect, test } from "vitest";
import { MlflowServer } from "./mlflow-server.ts";

// An account that lives as long as this file's server.
const account = { username: "admin", password: "correct-horse-battery" };
const context: RunContext = { run: "mnist-1", project: "digits", name: "MNIST", queue: "0123456789abcdef" };
const points = [{ key: metricKey.bSimple, step: 1, timeMs: 1_790_000_000_000, value: 437 }];
const panel = {
  panel: "frontier",
  title: "Frontier",
  contentType: "text/html",
  bytes: new TextEncoder().encode("<!doctype html><p>≥ 310</p>"),
  step: 1,
  timeMs: 1,
} as const;

let server: MlflowServer;
beforeAll(async () => {
  // Its runs' artifacts lie in a folder that clients would write to themselves, not behind the server.
  server = await MlflowServer.start(["--app-name", "basic-auth", "--no-serve-artifacts"], {
    MLFLOW_AUTH_ADMIN_USERNAME: account.username,
    MLFLOW_AUTH_ADMIN_PASSWORD: account.password,
    MLFLOW_FLASK_SERVER_SECRET_KEY: "of this test",
  });
});
afterAll(async () => {
  await server?.stop();
});

test("right credentials reach a server with accounts, and a run whose artifacts do not pass through it", async () => {
  const tracker = mlflowTracker({ trackingUri: server.url, ...account });
  const run = await tracker.openRun({}, context);
  const runId = await run.send({ points, panels: [panel], note: { markdown: "x", step: 1, timeMs: 1 } }, null);
  await tracker.close();

  const authorization = `Basic ${btoa(`${account.username}:${account.password}`)}`;
  const query = new URLSearchParams({ run_id: runId });
  const answer = await fetch(`${server.url}/api/2.0/mlflow/runs/get?${query}`, { headers: { authorization } });
  expect(await answer.json()).toMatchObject({ run: { data: { metrics: [{ key: metricKey.bSimple, value: 437 }] } } });
  const file = new URLSearchParams({ path: "noise_scale/frontier.html", run_uuid: runId });
  const artifact = await fetch(`${server.url}/get-artifact?${file}`, { headers: { authorization } });
  expect(await artifact.text()).toBe("<!doctype html><p>≥ 310</p>");
});

test("wrong credentials are refused for good, in words that name the configuration", async () => {
  for (const wrong of [{}, { ...account, password: "wrong" }]) {
    const tracker = mlflowTracker({ trackingUri: server.url, ...wrong });
    await expect(tracker.openRun({}, context)).rejects.toMatchObject({
      retryable: false,
      message: expect.stringMatching(/username and password.*collector's configuration/),
    });
    await tracker.close();
  }
});
