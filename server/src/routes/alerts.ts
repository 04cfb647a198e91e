import type { Alert, AlertList } from "@noisescale/protocol";
import { identifierSchema } from "@noisescale/protocol";
import { Router } from "express";
import { toWireAlert } from "../alerts/wire-alert.ts";
import { ProblemError } from "../problem.ts";
import type { CollectorContext } from "./collector-context.ts";
import { wholeNumber } from "./run-parameter.ts";

/** Alerts of one answer. */
const mostListed = 1000;

export function alertRoutes({ store, webhooks }: CollectorContext): Router {
  const router = Router();

  router.get("/v1/alerts", async (request, response) => {
    const { project, run, after, limit } = request.query;
    const query = {
      project: identifier(project, "project"),
      run: identifier(run, "run"),
      after:
        after === undefined
          ? undefined
          : wholeNumber(after, "after", { least: 0, most: Number.MAX_SAFE_INTEGER, otherwise: 0 }),
      limit: wholeNumber(limit, "limit", { least: 1, most: mostListed, otherwise: 100 }),
    };
    const alerts: Alert[] = (await store.alerts(query)).map(toWireAlert);
    // Who goes through the history in order has met them.
    const before = query.after === undefined ? (alerts[0]?.number ?? 0) : 0;
    const lasting = await store.standingAlertsBefore(before, { ...query, limit: mostListed });
    const backlogs = new Map((await store.webhookBacklogs()).map((backlog) => [backlog.webhook, backlog]));
    const answer: AlertList = {
      alerts,
      lasting: lasting.map(toWireAlert),
      webhooks: [...webhooks.keys()].map((name) => {
        const { waiting = 0, failures = 0, refused = 0, message = null } = backlogs.get(name) ?? {};
        const state = refused > 0 ? "refused" : failures > 0 ? "retrying" : waiting > 0 ? "waiting" : "ok";
        return { name, state, backlog: waiting + refused, message };
      }),
    };
    response.json(answer);
  });

  return router;
}

/** @throws ProblemError where it is none */
function identifier(query: unknown, name: string): string | undefined {
  if (query === undefined) return undefined;
  const parsed = identifierSchema.safeParse(query);
  if (parsed.success) return parsed.data;
  const message = parsed.error.issues[0]?.message ?? "is no name";
  throw new ProblemError(400, "Not understood", `${name} ${message}`, [{ path: name, message }]);
}
