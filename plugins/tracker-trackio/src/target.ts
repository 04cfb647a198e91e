import { createHash } from "node:crypto";
import { type RunContext, TrackerError } from "@noisescale/tracker";
import { z } from "zod";
import type { TrackioClient } from "./client.ts";

const name: z.ZodType<string> = z
  .string()
  .min(1)
  .max(250)
  .regex(/^\P{Control}+$/u, "must hold no control characters");

/** What a training job may send: a run that it logs to itself, or a name for one that the collector makes. */
export type TrackioTarget =
  | { readonly project?: string | undefined; readonly run_id: string }
  | { readonly project?: string | undefined; readonly run_name?: string | undefined };

const targetSchema: z.ZodType<TrackioTarget> = z.union([
  z.strictObject({ project: name.optional(), run_id: name }),
  z.strictObject({ project: name.optional(), run_name: name.optional() }),
]);

/** Where a run's rows and files go. */
export interface TrackioPlace {
  /** As trackio writes it on disk. */
  readonly project: string;
  readonly runId: string;
  readonly runName: string;
}

/** A place that was looked up. */
interface FoundPlace extends TrackioPlace {
  /** Whether trackio lists the run. */
  readonly exists: boolean;
}

export function parseTarget(target: Readonly<Record<string, unknown>>): TrackioTarget {
  const parsed = targetSchema.safeParse(target);
  if (parsed.success) return parsed.data;
  throw new TrackerError(
    'trackio: the run takes {"project": "…", "run_id": "…"} with the id of your own run, or {"project": "…", "run_name": "…"}, ' +
      `with project and run_name left out at will; it has ${JSON.stringify(target).slice(0, 200)}.`,
    { retryable: false },
  );
}

/**
 * The user's own run, or the one that is the collector's.
 *
 * @param allowed - projects that jobs may reach; undefined: all
 * @throws TrackerError; retryable where the user's run has logged nothing yet: trackio lists it from its first row on
 */
export async function findPlace(
  client: TrackioClient,
  target: TrackioTarget,
  context: RunContext,
  allowed: readonly string[] | undefined,
): Promise<FoundPlace> {
  const project = canonicalProject(target.project ?? context.project);
  if (allowed !== undefined && !allowed.map(canonicalProject).includes(project)) {
    throw new TrackerError(
      `trackio: the project ${JSON.stringify(project)} is none of those that the collector's configuration allows for this ` +
        "tracker; add it to its reachable_projects, or name another.",
      { retryable: false },
    );
  }
  const runs = await client.runs(project);
  if (!("run_id" in target)) {
    const runId = ownRunId(context);
    const known = runs.find(({ id }) => id === runId);
    return { project, runId, runName: known?.name ?? target.run_name ?? context.name, exists: known !== undefined };
  }
  const run = runs.find(({ id }) => id === target.run_id);
  if (run !== undefined) return { project, runId: run.id, runName: run.name, exists: true };
  throw new TrackerError(
    `trackio: ${client.server} has no run with the id ${JSON.stringify(target.run_id)} in the project ` +
      `${JSON.stringify(project)} yet; it lists a run from its first log on. It will be tried again.`,
    { retryable: true },
  );
}

/** trackio's name of a project on disk (`canonical_project_name`): `my.model` and `mymodel` are one project. */
export function canonicalProject(project: string): string {
  const kept = project.replaceAll(/[^\p{L}\p{N}_-]/gu, "");
  return kept === "" ? "default" : kept;
}

/** The same run of the collector has the same run in trackio, whoever starts first after a crash. */
function ownRunId({ project, run }: RunContext): string {
  return createHash("sha256").update(`noisescale ${project} ${run}`).digest("hex").slice(0, 32);
}
