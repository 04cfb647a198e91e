import { Router } from "express";
import { bodyOf, jsonBody } from "../request-body.ts";
import type { CollectorContext } from "./collector-context.ts";
import { knownRun, runName } from "./run-parameter.ts";

export function runRoutes({ store, fold, declarations, view, live, limits }: CollectorContext): Router {
  const router = Router();

  router.get("/v1/runs", async (_request, response) => {
    const queues = Map.groupBy(await store.allQueues(), ({ runId }) => runId);
    const standing = Map.groupBy(await store.standingAlerts(), ({ runId }) => runId);
    response.json({ runs: await view.summaries(await store.listRuns(), queues, standing) });
  });

  router.get("/v1/runs/:run", async (request, response) => {
    response.json(await view.detail(await knownRun(store, request.params["run"])));
  });

  router.put("/v1/runs/:run", bodyOf(["application/json"], limits.body_bytes), async (request, response) => {
    const name = runName(request.params["run"]);
    const { run, created } = await declarations.declare(name, declarations.parse(jsonBody(request)));
    live.changed(name);
    response.status(created ? 201 : 200).json(await view.detail(run));
  });

  router.delete("/v1/runs/:run", async (request, response) => {
    const run = await knownRun(store, request.params["run"]);
    await store.transaction((transaction) => transaction.deleteRun(run.id));
    fold.forget(run.id);
    live.deleted(run.run);
    response.status(204).end();
  });

  router.get("/v1/runs/:run/snapshot", async (request, response) => {
    response.json(await view.snapshot(await knownRun(store, request.params["run"])));
  });

  return router;
}
