import { type RunContext, TrackerError } from "@noisescale/tracker";
import { z } from "zod";
import type { MlflowClient, MlflowExperiment, MlflowRun } from "./client.ts";

const name: z.ZodType<string> = z
  .string()
  .min(1)
  .max(250)
  .regex(/^\P{Control}+$/u, "must hold no control characters");

/** What a training job may send: a run of its own, or an experiment in which the collector makes one. */
export type MlflowTarget =
  | { readonly run_id: string }
  | { readonly experiment?: string | undefined; readonly run_name?: string | undefined };

const targetSchema: z.ZodType<MlflowTarget> = z.union([
  z.strictObject({ run_id: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,255}$/, "must be the id of an MLflow run") }),
  z.strictObject({ experiment: name.optional(), run_name: name.optional() }),
]);

/** Tag by which a run that the collector made is found again. */
const runTag = "noisescale.run";

export function parseTarget(target: Readonly<Record<string, unknown>>): MlflowTarget {
  const parsed = targetSchema.safeParse(target);
  if (parsed.success) return parsed.data;
  throw refusal(
    'the run takes {"run_id": "…"}, or {"experiment": "…", "run_name": "…"} with both left out at will; ' +
      `it has ${JSON.stringify(target).slice(0, 200)}`,
  );
}

/**
 * The user's own run.
 *
 * @throws TrackerError, not retryable, where it was deleted or its experiment is none of those that are allowed
 */
export async function findUsersRun(
  client: MlflowClient,
  runId: string,
  allowed: readonly string[] | undefined,
): Promise<MlflowRun> {
  const run = await client.getRun(runId);
  if (allowed !== undefined) {
    const experiment = await client.getExperiment(run.info.experiment_id);
    checkAllowed(experiment.name, allowed);
  }
  checkActive(run);
  return run;
}

/** The run that the collector made for this one, made now if it is not there. */
export async function findOrMakeRun(
  client: MlflowClient,
  target: { readonly experiment?: string | undefined; readonly run_name?: string | undefined },
  context: RunContext,
  allowed: readonly string[] | undefined,
): Promise<MlflowRun> {
  const experimentName = target.experiment ?? context.project;
  checkAllowed(experimentName, allowed);
  const experiment = await client.findExperiment(experimentName);
  if (experiment !== undefined) checkNotDeleted(experiment);
  const experimentId = experiment?.experiment_id ?? (await client.createExperiment(experimentName));

  const tag = { key: runTag, value: context.run };
  const found = await client.findRuns(experimentId, tag);
  const run = found.find(({ info }) => info.lifecycle_stage === "active") ?? found[0];
  if (run === undefined) {
    const tags = [tag, { key: "noisescale.project", value: context.project }];
    return client.createRun(experimentId, target.run_name ?? context.name, Date.now(), tags);
  }
  checkActive(run);
  return run;
}

/** @throws TrackerError, not retryable, where there is none, or it was deleted */
export async function checkedExperiment(client: MlflowClient, experiment: string): Promise<MlflowExperiment> {
  const found = await client.findExperiment(experiment);
  if (found === undefined) throw refusal(`there is no experiment ${JSON.stringify(experiment)} at ${client.server}`);
  checkNotDeleted(found);
  return found;
}

export function checkAllowed(experiment: string, allowed: readonly string[] | undefined): void {
  if (allowed === undefined || allowed.includes(experiment)) return;
  throw refusal(
    `the experiment ${JSON.stringify(experiment)} is none of those that the collector's configuration allows for this ` +
      `tracker; add it to its experiments, or name another`,
  );
}

function checkNotDeleted({ name, lifecycle_stage: stage }: MlflowExperiment): void {
  if (stage === "active") return;
  throw refusal(`the experiment ${JSON.stringify(name)} was deleted in MLflow; restore it, or name another`);
}

function checkActive(run: MlflowRun): void {
  if (run.info.lifecycle_stage === "active") return;
  throw refusal(`the run ${run.info.run_id} was deleted in MLflow; restore it there to go on`);
}

function refusal(what: string): TrackerError {
  return new TrackerError(`mlflow: ${what}.`, { retryable: false });
}
