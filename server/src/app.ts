import express, { type Express } from "express";
import { hostGuard } from "./host-guard.ts";
import { notFound, problemResponse } from "./problem-response.ts";
import { alertRoutes } from "./routes/alerts.ts";
import type { CollectorContext } from "./routes/collector-context.ts";
import { eventRoutes } from "./routes/events.ts";
import { frontierRoutes } from "./routes/frontiers.ts";
import { measurementRoutes } from "./routes/measurements.ts";
import { operationRoutes } from "./routes/operations.ts";
import { pageRoutes } from "./routes/page.ts";
import { panelRoutes } from "./routes/panels.ts";
import { runRoutes } from "./routes/runs.ts";
import { seriesRoutes } from "./routes/series.ts";

export interface AppSettings {
  readonly allowedHosts: readonly string[];
  readonly publicUrl: string | undefined;
}

/** The collector's routes; it listens nowhere by itself. */
export function createApp(context: CollectorContext, { allowedHosts, publicUrl }: AppSettings): Express {
  const app = express();
  app.disable("x-powered-by");
  app.set("query parser", "simple");
  app.use((_request, response, next) => {
    response.set({
      "x-content-type-options": "nosniff",
      "referrer-policy": "no-referrer",
      "cross-origin-resource-policy": "same-origin",
      "cross-origin-opener-policy": "same-origin",
    });
    next();
  });
  app.use(hostGuard(allowedHosts, publicUrl === undefined ? undefined : new URL(publicUrl).origin));
  app.use(
    measurementRoutes(context),
    eventRoutes(context),
    runRoutes(context),
    seriesRoutes(context),
    frontierRoutes(context),
    panelRoutes(context),
    alertRoutes(context),
    operationRoutes(context),
    pageRoutes(),
  );
  app.use(notFound);
  app.use(problemResponse(context.logger, context.limits.body_bytes));
  return app;
}
