import { createHash } from "node:crypto";
import { type RunContext, TrackerError } from "@noisescale/tracker";
import { z } from "zod";
import type { WandbClient, WandbRunPath } from "./client.ts";

/** A name in W&B's addresses; W&B takes none with these characters. */
const name: z.ZodType<string> = z
  .string()
  .min(1)
  .max(128)
  .regex(/^[^/\\#?%:\p{Control}]+$/u, "must hold none of / \\ # ? % : and no control characters")
  .regex(/[^.]/, "must not be . or ..");

/** What a training job may send. */
export interface WandbTarget {
  readonly entity?: string | undefined;
  readonly project?: string | undefined;
  /** The user's own run. */
  readonly run_id?: string | undefined;
  /** Of the run that the collector makes; with `run_id` by default the group of the user's run. */
  readonly group?: string | undefined;
  readonly run_name?: string | undefined;
  /**
   * `companion`, the default: a run that the collector makes. `shared`: rows into the user's own run; only where the hook
   * itself saw that the run was started in W&B's shared mode, which is checked against W&B's own record of the run.
   */
  readonly mode?: "companion" | "shared" | undefined;
}

const targetSchema: z.ZodType<WandbTarget> = z
  .strictObject({
    entity: name.optional(),
    project: name.optional(),
    run_id: name.optional(),
    group: name.optional(),
    run_name: name.optional(),
    mode: z.enum(["companion", "shared"]).optional(),
  })
  .refine(
    ({ mode, run_id: id, group, run_name: shown }) =>
      mode !== "shared" || (id !== undefined && group === undefined && shown === undefined),
    "the mode shared needs a run_id, and takes no group and no run_name",
  );

/** What the collector's configuration lets jobs reach; undefined: all that the key reaches. */
export interface WandbBounds {
  /** Entity of runs whose target names none; the key's own by default. */
  readonly entity?: string | undefined;
  readonly reachableEntities?: readonly string[] | undefined;
  readonly reachableProjects?: readonly string[] | undefined;
}

export function parseTarget(target: Readonly<Record<string, unknown>>): WandbTarget {
  const parsed = targetSchema.safeParse(target);
  if (parsed.success) return parsed.data;
  throw refusal(
    'the run takes {"entity": "…", "project": "…", "run_id": "…", "group": "…", "run_name": "…"}, each left out at will, ' +
      `and the mode "companion" or "shared" (with a run_id alone); it has ${JSON.stringify(target).slice(0, 200)}`,
  );
}

/** Entity and project of the target, within the bounds. */
export async function findPlace(
  client: WandbClient,
  target: WandbTarget,
  context: RunContext,
  bounds: WandbBounds,
): Promise<{ readonly entity: string; readonly project: string }> {
  const project = target.project ?? context.project;
  checkAllowed("project", project, bounds.reachableProjects, "reachable_projects");
  const entity = target.entity ?? bounds.entity ?? (await client.defaultEntity());
  checkAllowed("entity", entity, bounds.reachableEntities, "reachable_entities");
  return { entity, project };
}

/** The same run of the collector has the same companion, whoever makes it first after a crash. */
export function companionId({ project, run }: RunContext): string {
  return `noise-${createHash("sha256").update(`noisescale ${project} ${run}`).digest("hex").slice(0, 16)}`;
}

/** Id of this writer among those of a shared run: the queue's own, so that its offsets start at 0 with the queue. */
export function writerId({ queue, run }: RunContext): string {
  const digest = createHash("sha256").update(`noisescale ${queue} ${run}`).digest("hex");
  return [8, 12, 16, 20, 32].map((end, i) => digest.slice([0, 8, 12, 16, 20][i], end)).join("-");
}

export function runNotThere({ entity, project, run }: WandbRunPath): TrackerError {
  return new TrackerError(
    `wandb: there is no run ${JSON.stringify(run)} in ${entity}/${project} yet. It will be tried again; a run that was started ` +
      "offline gets there when it is synced.",
    { retryable: true },
  );
}

function checkAllowed(what: string, value: string, allowed: readonly string[] | undefined, field: string): void {
  if (allowed === undefined || allowed.includes(value)) return;
  throw refusal(
    `the ${what} ${JSON.stringify(value)} is none of those that the collector's configuration allows for this tracker; add it ` +
      `to its ${field}, or name another`,
  );
}

function refusal(what: string): TrackerError {
  return new TrackerError(`wandb: ${what}.`, { retryable: false });
}
