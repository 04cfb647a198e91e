import {
  calibrationRequestSchema,
  type FrontierTarget,
  fieldErrors,
  identifierSchema,
  parseFrontierTarget,
  type RunFrontierAnswer,
} from "@noisescale/protocol";
import { type Request, Router } from "express";
import type { GroupFrontiers } from "../frontier/group-frontiers.ts";
import { notUnderstood, ProblemError } from "../problem.ts";
import { bodyOf, jsonBody } from "../request-body.ts";
import type { CollectorContext } from "./collector-context.ts";
import { knownRun } from "./run-parameter.ts";

export function frontierRoutes(context: CollectorContext): Router {
  const { store, view, frontiers, calibrations, live, limits } = context;
  const router = Router();

  router.get("/v1/runs/:run/frontier", async (request, response) => {
    const run = await knownRun(store, request.params["run"]);
    const { project, group, unit } = run.declaration;
    const { predicted } = await view.snapshot(run);
    const answer: RunFrontierAnswer = {
      run: run.run,
      unit,
      predicted,
      fitted: group === undefined ? [] : [...(await store.groupFrontiers(project, group))],
      calibration: (await store.calibration(project)) ?? null,
    };
    response.json(answer);
  });

  router
    .route("/v1/groups/:group/frontier")
    .get(async (request, response) => {
      response.json((await frontiers.fit(...askedFrontier(request))).answer);
    })
    .put(async (request, response) => {
      const { answer } = await frontiers.keep(...askedFrontier(request));
      await changed(answer.project, answer.group);
      response.json(answer);
    });

  router.get("/v1/projects/:project/calibration", async (request, response) => {
    const project = name("project", request.params["project"], "The address");
    const calibration = await store.calibration(project);
    if (calibration === undefined) throw noCalibration(project);
    response.json(calibration);
  });

  router.put(
    "/v1/projects/:project/calibration",
    bodyOf(["application/json"], limits.body_bytes),
    async (request, response) => {
      const project = name("project", request.params["project"], "The address");
      const parsed = calibrationRequestSchema.safeParse(jsonBody(request));
      if (!parsed.success) throw notUnderstood(fieldErrors(parsed.error), "The body");
      const calibration = await calibrations.make(project, parsed.data.group, targetOf(parsed.data.target, "The body"));
      await changed(project);
      response.json(calibration);
    },
  );

  router.delete("/v1/projects/:project/calibration", async (request, response) => {
    const project = name("project", request.params["project"], "The address");
    if (!(await store.transaction((transaction) => transaction.deleteCalibration(project))))
      throw noCalibration(project);
    await changed(project);
    response.status(204).end();
  });

  /** Pages that look at these runs are sent what their recommendations rest on now. */
  const changed = async (project: string, group?: string): Promise<void> => {
    for (const name of live.watched) {
      const declaration = (await store.findRun(name))?.declaration;
      if (declaration?.project === project && (group === undefined || declaration.group === group)) live.changed(name);
    }
  };

  return router;
}

function askedFrontier(request: Request): Parameters<GroupFrontiers["fit"]> {
  const group = name("group", request.params["group"], "The address");
  const { target, project } = request.query;
  return [
    group,
    targetOf(target, "The query"),
    project === undefined ? undefined : name("project", project, "The query"),
  ];
}

function noCalibration(project: string): ProblemError {
  return new ProblemError(
    404,
    "No calibration",
    `Project ${JSON.stringify(project)} has no calibration: make one with PUT /v1/projects/{project}/calibration`,
  );
}

function name(path: "group" | "project", value: unknown, what: string): string {
  const parsed = identifierSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw notUnderstood([{ path, message: parsed.error.issues[0]?.message ?? "is no name" }], what);
}

function targetOf(value: unknown, what: string): FrontierTarget {
  const parsed = typeof value === "string" ? parseFrontierTarget(value) : undefined;
  if (parsed !== undefined) return parsed;
  const shown = typeof value === "string" ? `, not ${JSON.stringify(value)}` : "";
  throw notUnderstood(
    [
      {
        path: "target",
        message: `must be name<=value, such as validation_loss<=0.3, or name>=value for an accuracy${shown}`,
      },
    ],
    what,
  );
}
