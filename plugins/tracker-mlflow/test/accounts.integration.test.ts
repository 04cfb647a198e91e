import { metricKey, type RunContext } from "@noisescale/tracker";
import { mlflowTracker } from "@noisescale/tracker-mlflow";
import { afterAll, beforeAll, expect, test } from "vitest";
import { MlflowServer } from "./mlflow-server.ts";

// An account that lives as long as this file's server.
const account = { username: "admin", password: "correct-horse-battery" };
const context: RunContext = { run: "mnist-1", project: "digits", name: "MNIST" };
const points = [{ key: metricKey.bSimple, step: 1, timeMs: 1_790_000_000_000, value: 437 }];

let server: MlflowServer;
beforeAll(async () => {
  server = await MlflowServer.start(["--app-name", "basic-auth"], {
    MLFLOW_AUTH_ADMIN_USERNAME: account.username,
    MLFLOW_AUTH_ADMIN_PASSWORD: account.password,
    MLFLOW_FLASK_SERVER_SECRET_KEY: "of this test",
  });
});
afterAll(async () => {
  await server?.stop();
});

test("right credentials reach a server with accounts", async () => {
  const tracker = mlflowTracker({ trackingUri: server.url, ...account });
  const run = await tracker.openRun({}, context);
  const runId = await run.send({ points, panels: [], note: { markdown: "x", step: 1, timeMs: 1 } }, null);
  await tracker.close();

  const authorization = `Basic ${btoa(`${account.username}:${account.password}`)}`;
  const query = new URLSearchParams({ run_id: runId });
  const answer = await fetch(`${server.url}/api/2.0/mlflow/runs/get?${query}`, { headers: { authorization } });
  expect(await answer.json()).toMatchObject({ run: { data: { metrics: [{ key: metricKey.bSimple, value: 437 }] } } });
});

test("wrong credentials are refused for good, in words that name the configuration", async () => {
  for (const wrong of [{}, { ...account, password: "wrong" }]) {
    const tracker = mlflowTracker({ trackingUri: server.url, ...wrong });
    await expect(tracker.openRun({}, context)).rejects.toMatchObject({
      retryable: false,
      message: expect.stringContaining("username and password"),
    });
    await tracker.close();
  }
});
