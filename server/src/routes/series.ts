import { type SeriesMetric, seriesMetricSchema } from "@noisescale/protocol";
import { Router } from "express";
import { notUnderstood } from "../problem.ts";
import { writeSeriesCsv } from "../series-csv.ts";
import { allMetrics, readSeries } from "../series-reduction.ts";
import type { CollectorContext } from "./collector-context.ts";
import { knownRun, wholeNumber } from "./run-parameter.ts";

const steps = { least: 0, most: Number.MAX_SAFE_INTEGER };

export function seriesRoutes({ store }: CollectorContext): Router {
  const router = Router();

  router.get("/v1/runs/:run/series", async (request, response) => {
    const run = await knownRun(store, request.params["run"]);
    const { query } = request;
    const range = {
      from: wholeNumber(query["from"], "from", { ...steps, otherwise: steps.least }),
      to: wholeNumber(query["to"], "to", { ...steps, otherwise: steps.most }),
    };
    const points = wholeNumber(query["points"], "points", { least: 1, most: 100_000, otherwise: 1000 });
    response.json(await readSeries(store, run, range, requestedMetrics(query["metrics"]), points));
  });

  router.get("/v1/runs/:run/series.csv", async (request, response) => {
    const run = await knownRun(store, request.params["run"]);
    response.type("text/csv").attachment(`${run.run}.csv`);
    await writeSeriesCsv(store, run, response);
  });

  return router;
}

function requestedMetrics(query: unknown): readonly SeriesMetric[] {
  if (query === undefined) return allMetrics;
  const names = typeof query === "string" ? query.split(",") : [];
  return [
    ...new Set(
      names.map((name) => {
        const parsed = seriesMetricSchema.safeParse(name);
        if (parsed.success) return parsed.data;
        const message = `${JSON.stringify(name)} is none of ${allMetrics.join(", ")}`;
        throw notUnderstood([{ path: "metrics", message }], "The query");
      }),
    ),
  ];
}
