import type { z } from "zod";
import { alertListSchema, alertMessageSchema } from "./alert.ts";
import { eventResultSchema, runEventSchema } from "./event.ts";
import { calibrationRequestSchema, calibrationSchema, groupFrontierSchema, runFrontierSchema } from "./frontier.ts";
import { toJsonSchema } from "./json-schema.ts";
import { measurementSchema } from "./measurement.ts";
import { problemSchema } from "./problem.ts";
import { runDeclarationSchema } from "./run.ts";
import { runDetailSchema, runListSchema, seriesMetricSchema, seriesSchema } from "./series.ts";
import { ingestResultSchema, snapshotSchema } from "./snapshot.ts";

type Json = Record<string, unknown>;

const reference = (name: string): Json => ({ $ref: `#/components/schemas/${name}` });
const answer = (description: string, contentType: string, schema: Json): Json => ({
  description,
  content: { [contentType]: { schema } },
});
const json = (description: string, name: string): Json => answer(description, "application/json", reference(name));
const problem = (description: string): Json => answer(description, "application/problem+json", reference("Problem"));

const runParameter: Json = {
  name: "run",
  in: "path",
  required: true,
  schema: { type: "string", pattern: "^[A-Za-z0-9._-]{1,128}$" },
};

const pathParameter = (name: string): Json => ({ ...runParameter, name });

const queryParameter = (name: string, description: string, schema: Json, required = false): Json => ({
  name,
  in: "query",
  required,
  description,
  schema,
});

const attempt: Json = { type: "integer", minimum: 0, default: 0 };
const unknownRun = problem("No such run: declare it with PUT /v1/runs/{run}");
const notUnderstood = problem("The request is not understood: `errors` names each field and the reason");
const groupFrontierAnswers: Json = {
  200: json("The fitted frontier, and what each run gave", "GroupFrontier"),
  400: notUnderstood,
  404: problem("No run is in a group by this name"),
  422: problem("These runs give no frontier: `detail` says why, `errors` what was wrong with each run"),
};
const tooLarge = problem("The body is larger than the collector takes: send fewer records at a time");
const wrongContentType = problem("Writes need application/json or application/x-ndjson");

const recordsBody = (list: string, schema: string, more: Json = {}): Json => ({
  required: true,
  content: {
    "application/json": {
      schema: {
        type: "object",
        required: [list],
        additionalProperties: false,
        properties: { ...more, [list]: { type: "array", items: reference(schema) } },
      },
    },
  },
});

const schemas: Readonly<Record<string, readonly [z.ZodType, "input" | "output"]>> = {
  RunDeclaration: [runDeclarationSchema, "input"],
  Measurement: [measurementSchema, "input"],
  RunEvent: [runEventSchema, "input"],
  IngestResult: [ingestResultSchema, "output"],
  EventResult: [eventResultSchema, "output"],
  Snapshot: [snapshotSchema, "output"],
  Series: [seriesSchema, "output"],
  RunList: [runListSchema, "output"],
  RunDetail: [runDetailSchema, "output"],
  GroupFrontier: [groupFrontierSchema, "output"],
  RunFrontier: [runFrontierSchema, "output"],
  CalibrationRequest: [calibrationRequestSchema, "input"],
  Calibration: [calibrationSchema, "output"],
  AlertList: [alertListSchema, "output"],
  AlertMessage: [alertMessageSchema, "output"],
  Problem: [problemSchema, "output"],
};

const paths: Json = {
  "/v1/runs": { get: { summary: "All runs", responses: { 200: json("Runs, the latest first", "RunList") } } },
  "/v1/runs/{run}": {
    parameters: [runParameter],
    get: { summary: "One run", responses: { 200: json("The run", "RunDetail"), 404: unknownRun } },
    put: {
      summary: "Declare a run; idempotent",
      requestBody: { required: true, content: { "application/json": { schema: reference("RunDeclaration") } } },
      responses: {
        200: json("Declared before; the declaration now holds", "RunDetail"),
        201: json("Declared", "RunDetail"),
        400: notUnderstood,
        413: tooLarge,
        415: wrongContentType,
      },
    },
    delete: {
      summary: "Delete the run and its measurements here; trackers keep what they were sent",
      responses: { 204: { description: "Deleted" }, 404: unknownRun },
    },
  },
  "/v1/runs/{run}/measurements": {
    parameters: [runParameter],
    post: {
      summary: "Add measurements; answered when they are on disk",
      parameters: [
        queryParameter("snapshot", "`full` adds layers and horizons to the answer", { type: "string", enum: ["full"] }),
      ],
      requestBody: {
        required: true,
        content: {
          ...(recordsBody("measurements", "Measurement")["content"] as Json),
          "application/x-ndjson": {
            schema: {
              type: "string",
              description: 'One Measurement a line; the first line may be {"run": RunDeclaration}',
            },
          },
        },
      },
      responses: {
        200: json("Accepted, known already, and refused records with their reasons", "IngestResult"),
        400: notUnderstood,
        404: unknownRun,
        413: tooLarge,
        415: wrongContentType,
      },
    },
  },
  "/v1/runs/{run}/events": {
    parameters: [runParameter],
    get: {
      summary: "Server-sent events: `snapshot` and `state`",
      responses: { 200: answer("Live updates", "text/event-stream", { type: "string" }), 404: unknownRun },
    },
    post: {
      summary: "Report what a hook left out, or how the run ended",
      requestBody: recordsBody("events", "RunEvent", { attempt }),
      responses: {
        200: json("Accepted and refused events", "EventResult"),
        400: notUnderstood,
        404: unknownRun,
        413: tooLarge,
        415: wrongContentType,
      },
    },
  },
  "/v1/runs/{run}/snapshot": {
    parameters: [runParameter],
    get: { summary: "The current estimate", responses: { 200: json("Full snapshot", "Snapshot"), 404: unknownRun } },
  },
  "/v1/runs/{run}/series": {
    parameters: [
      runParameter,
      queryParameter("metrics", `Comma-separated: ${seriesMetricSchema.options.join(", ")}`, { type: "string" }),
      queryParameter("from", "First step", { type: "integer", minimum: 0 }),
      queryParameter("to", "Last step", { type: "integer", minimum: 0 }),
      queryParameter("points", "About how many rows; each bucket keeps its extremes", { type: "integer", minimum: 1 }),
    ],
    get: {
      summary: "Metrics over steps",
      responses: { 200: json("Columns", "Series"), 400: notUnderstood, 404: unknownRun },
    },
  },
  "/v1/runs/{run}/series.csv": {
    parameters: [runParameter],
    get: {
      summary: "Every row of every metric",
      responses: { 200: answer("CSV with a header", "text/csv", { type: "string" }), 404: unknownRun },
    },
  },
  "/v1/runs/{run}/panels/{panel}": {
    parameters: [
      runParameter,
      {
        name: "panel",
        in: "path",
        required: true,
        description: "noise-scale, signal-and-noise, frontier or trade, with the ending .json, .html or .png",
        schema: { type: "string" },
      },
    ],
    get: {
      summary: "One panel: its data and text, a page that stands alone, or a picture",
      responses: {
        200: {
          description: "The panel",
          content: {
            "application/json": { schema: { type: "object" } },
            "text/html": { schema: { type: "string" } },
            "image/png": { schema: { type: "string", contentMediaType: "image/png" } },
          },
        },
        404: unknownRun,
      },
    },
  },
  "/v1/runs/{run}/frontier": {
    parameters: [runParameter],
    get: {
      summary: "The frontier predicted from this run, those fitted to its group so far, and its project's calibration",
      responses: { 200: json("Frontiers", "RunFrontier"), 404: unknownRun },
    },
  },
  "/v1/groups/{group}/frontier": {
    parameters: [
      pathParameter("group"),
      queryParameter(
        "target",
        "`name<=value` or `name>=value`, of an evaluation; `loss<=value` is the smoothed training loss where no run evaluates a loss",
        { type: "string" },
        true,
      ),
      queryParameter("project", "Needed where several projects have a group by this name", { type: "string" }),
    ],
    get: {
      summary: "The frontier fitted to the group's runs at a target; nothing is kept",
      responses: groupFrontierAnswers,
    },
    put: {
      summary:
        "Fit it, and keep it as a basis of the runs' recommendations, of the latest 64 targets; what was kept goes where they give none",
      responses: groupFrontierAnswers,
    },
  },
  "/v1/projects/{project}/calibration": {
    parameters: [pathParameter("project")],
    get: {
      summary: "B_crit/B_simple of the project",
      responses: { 200: json("The calibration", "Calibration"), 404: problem("The project has none") },
    },
    put: {
      summary:
        "Make the calibration from a group's fitted frontier; the project's recommendations rest on it from then on",
      requestBody: { required: true, content: { "application/json": { schema: reference("CalibrationRequest") } } },
      responses: {
        200: json("The calibration", "Calibration"),
        400: notUnderstood,
        404: problem("No run of the project is in a group by this name"),
        422: problem("These runs give no frontier or no calibration: `detail` says why"),
        415: wrongContentType,
      },
    },
    delete: {
      summary: "Forget the calibration",
      responses: { 204: { description: "Forgotten" }, 404: problem("The project has none") },
    },
  },
  "/v1/alerts": {
    parameters: [
      queryParameter("project", "Of its runs alone", { type: "string" }),
      queryParameter("run", "Of this run alone", { type: "string" }),
      queryParameter("after", "From the first after the alert of this number on; without it the latest", {
        type: "integer",
        minimum: 0,
      }),
      queryParameter("limit", "Alerts at most", { type: "integer", minimum: 1, maximum: 1000, default: 100 }),
    ],
    get: {
      summary: "Alerts that were raised, oldest first, and apart those before them that are not over",
      responses: { 200: json("Alerts, and the state of the webhooks", "AlertList"), 400: notUnderstood },
    },
  },
  "/healthz": { get: { summary: "The process answers", responses: { 200: { description: "Alive" } } } },
  "/readyz": {
    get: {
      summary: "The store takes writes",
      responses: { 200: { description: "Ready" }, 503: { description: "Not ready" } },
    },
  },
  "/metrics": {
    get: {
      summary: "Prometheus metrics",
      responses: { 200: answer("Exposition format", "text/plain", { type: "string" }) },
    },
  },
};

/** OpenAPI 3.1 description of the collector, derived from the wire schemas. */
export function openApiDocument(version: string): Json {
  return {
    openapi: "3.1.1",
    info: {
      title: "noisescale collector",
      version,
      description: "Takes two squared gradient norms a step; answers the gradient noise scale with its interval.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    paths,
    components: {
      schemas: Object.fromEntries(
        Object.entries(schemas).map(([name, [schema, io]]) => [name, toJsonSchema(schema, io)]),
      ),
    },
  };
}
