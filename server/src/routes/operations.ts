import { openApiDocument } from "@noisescale/protocol";
import { Router } from "express";
import { prometheusText } from "../prometheus.ts";
import { version } from "../version.ts";
import type { CollectorContext } from "./collector-context.ts";

export function operationRoutes(context: CollectorContext): Router {
  const router = Router();
  const document = openApiDocument(version);

  router.get("/openapi.json", (_request, response) => {
    response.json(document);
  });

  router.get("/healthz", (_request, response) => {
    response.json({ status: "alive" });
  });

  router.get("/readyz", async (_request, response) => {
    try {
      await context.store.ready();
      response.json({ status: "ready" });
    } catch (error) {
      context.logger.error({ err: error }, "the store takes no writes");
      response.status(503).json({ status: "not ready" });
    }
  });

  router.get("/metrics", async (_request, response) => {
    response.type("text/plain; version=0.0.4").send(await prometheusText(context));
  });

  return router;
}
