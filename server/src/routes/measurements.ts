import { fieldErrors, measurementBatchSchema, type Rejection } from "@noisescale/protocol";
import { type Request, Router } from "express";
import { checkRecords, type IncomingRecord } from "../ingest-check.ts";
import { notUnderstood, UnknownRunError } from "../problem.ts";
import { bodyOf, jsonBody, ndjsonBody, requireFewRecords } from "../request-body.ts";
import { toRunSettings } from "../run-settings.ts";
import type { RunRow } from "../store/store.ts";
import type { CollectorContext } from "./collector-context.ts";
import { runName } from "./run-parameter.ts";

export function measurementRoutes(context: CollectorContext): Router {
  const { store, ingest, metrics, limits } = context;
  const router = Router();

  router.post(
    "/v1/runs/:run/measurements",
    bodyOf(["application/json", "application/x-ndjson"], limits.body_bytes),
    async (request, response) => {
      const name = runName(request.params["run"]);
      const { records, firstIndex, declared } = await incoming(request, name, context);
      const run = declared ?? (await store.findRun(name));
      if (run === undefined) throw new UnknownRunError(name);
      const { good, rejected } = checkRecords(records, firstIndex, toRunSettings(run.declaration));
      const answer = await ingest.submit({ run: name, records: good, full: request.query["snapshot"] === "full" });
      const allRejected = [...rejected, ...answer.rejected].sort((one, other) => one.index - other.index);
      metrics.ingested(answer.accepted, answer.duplicates, allRejected.length);
      response.json({ ...answer, rejected: listed(allRejected) });
    },
  );

  return router;
}

/** Refused records that are listed one by one. */
const mostListed = 1000;

/** A sender that gets everything wrong is told how, not a hundred thousand times. */
function listed(rejected: readonly Rejection[]): readonly Rejection[] {
  const more = rejected.length - mostListed;
  const next = rejected[mostListed];
  if (next === undefined) return rejected;
  const rest = { index: next.index, path: "", message: `this record and ${more - 1} further ones were refused too` };
  return [...rejected.slice(0, mostListed), rest];
}

interface Incoming {
  readonly records: readonly IncomingRecord[];
  /** Place of the first record in the request. */
  readonly firstIndex: number;
  /** The run, where the request declares it. */
  readonly declared: RunRow | undefined;
}

async function incoming(request: Request, name: string, { declarations }: CollectorContext): Promise<Incoming> {
  if (!request.is("application/x-ndjson")) {
    const parsed = measurementBatchSchema.safeParse(jsonBody(request));
    if (!parsed.success) throw notUnderstood(fieldErrors(parsed.error), "The body");
    requireFewRecords(parsed.data.measurements.length);
    return { records: parsed.data.measurements.map((value) => ({ value })), firstIndex: 0, declared: undefined };
  }
  const lines = ndjsonBody(request);
  const declaration = lines[0] === undefined ? undefined : declarationOf(lines[0]);
  if (declaration === undefined) return { records: lines, firstIndex: 0, declared: undefined };
  const { run } = await declarations.declare(name, declarations.parse(declaration.run));
  return { records: lines.slice(1), firstIndex: 1, declared: run };
}

/** The first line's `{"run": {…}}`, where it is one. */
function declarationOf(line: IncomingRecord): { readonly run: unknown } | undefined {
  if (!("value" in line) || typeof line.value !== "object" || line.value === null) return undefined;
  return "run" in line.value && Object.keys(line.value).length === 1 ? { run: line.value.run } : undefined;
}
