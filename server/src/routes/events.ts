import { eventBatchSchema, fieldErrors, type Rejection, type RunEvent, runEventSchema } from "@noisescale/protocol";
import { Router } from "express";
import { makeDeliveries } from "../outbox/deliveries.ts";
import { notUnderstood, ProblemError, UnknownRunError } from "../problem.ts";
import { bodyOf, jsonBody } from "../request-body.ts";
import type { CollectorContext } from "./collector-context.ts";
import { knownRun, runName } from "./run-parameter.ts";

export function eventRoutes(context: CollectorContext): Router {
  const { store, live, limits } = context;
  const router = Router();

  router.post("/v1/runs/:run/events", bodyOf(["application/json"], limits.body_bytes), async (request, response) => {
    const name = runName(request.params["run"]);
    const batch = eventBatchSchema.safeParse(jsonBody(request));
    if (!batch.success) throw notUnderstood(fieldErrors(batch.error), "The body");
    const good: RunEvent[] = [];
    const rejected: Rejection[] = [];
    batch.data.events.forEach((value, index) => {
      const parsed = runEventSchema.safeParse(value);
      if (parsed.success) good.push(parsed.data);
      else
        rejected.push(
          ...fieldErrors(parsed.error)
            .slice(0, 1)
            .map((error) => ({ index, ...error })),
        );
    });
    await storeEvents(context, name, batch.data.attempt, good);
    live.changed(name);
    response.json({ accepted: good.length, rejected });
  });

  router.get("/v1/runs/:run/events", async (request, response) => {
    const run = await knownRun(store, request.params["run"]);
    if (live.full) {
      throw new ProblemError(503, "Too many live pages", `${live.connections} pages are connected: close some`);
    }
    await live.connect(run.run, response);
  });

  return router;
}

/** Stores events; the end of the latest attempt ends the run, and its trackers are due their last points. */
async function storeEvents(
  { store, fold, trackers, alerts, wakeOutbox }: CollectorContext,
  name: string,
  attempt: number,
  events: readonly RunEvent[],
): Promise<void> {
  const due = await store.transaction(async (transaction) => {
    const run = await transaction.lockRun(name);
    if (run === undefined) throw new UnknownRunError(name);
    const fresh = await transaction.insertEvents(run.id, attempt, events);
    const alerted = await alerts.ofEvents(transaction, run, attempt, fresh);
    const end = fresh.findLast(({ kind }) => kind === "finished" || kind === "failed");
    if (end === undefined || attempt < (run.fold?.attempt ?? 0)) return alerted;
    await transaction.setState(run.id, end.kind === "failed" ? "failed" : "finished");
    await alerts.heard(transaction, run, run.fold?.step ?? end.step, Date.now());
    const current = await fold.current(transaction, run);
    const due = await makeDeliveries(transaction, run, current, trackers, Date.now(), { final: true });
    return [...alerted, ...due];
  });
  wakeOutbox(new Set(due));
}
