import { type RunContext, TrackerError } from "@noisescale/tracker";
import { z } from "zod";
import type { WandbClient, WandbRunPath } from "./client.ts";
import { companionId, runNotThere, type WandbTarget, writerId } from "./target.ts";
import { stepKey } from "./transform.ts";

/** The stream of rows that a queue of the collector writes. */
export interface RunWriter {
  readonly path: WandbRunPath;
  /** In a shared run, this writer's id; undefined where the whole run is the collector's. */
  readonly writer: string | undefined;
  /** Where this queue's rows begin in the stream. */
  readonly firstOffset: number;
  /** Last values that W&B shows of this stream so far. */
  readonly summary: Readonly<Record<string, unknown>>;
}

/** Key of a companion's configuration for what the collector has to remember of it. */
const ownKey = "noisescale";
/** A feature that W&B's client writes into a run's telemetry when the run was started in shared mode. */
const sharedModeFeature = 67;
const shownMetrics = [
  { "1": stepKey, "6": [3], "7": [] },
  { "2": "noise_scale/*", "5": 1, "6": [1], "7": [] },
] as const;

const ownSchema = z.object({ value: z.object({ queues: z.record(z.string(), z.number()) }) });
const telemetrySchema = z.object({ value: z.object({ t: z.object({ "3": z.array(z.number()) }) }) });

/**
 * A run of the collector's own, in the group of the user's, which is only read. It keeps in its configuration where each of
 * the collector's queues began, so that a queue which is sent again from its start lands on its own rows.
 */
export async function openCompanion(
  client: WandbClient,
  place: Pick<WandbRunPath, "entity" | "project">,
  target: WandbTarget,
  context: RunContext,
): Promise<RunWriter> {
  const path = { ...place, run: companionId(context) };
  let group = target.group;
  if (target.run_id !== undefined) {
    const usersPath = { ...place, run: target.run_id };
    const users = await client.findRun(usersPath);
    if (users === undefined) throw runNotThere(usersPath);
    group ??= users.group ?? undefined;
  }
  const found = await client.findRun(path);
  const queues = ownSchema.safeParse(found?.config[ownKey]).data?.value.queues ?? {};
  const firstOffset = queues[context.queue] ?? found?.historyLineCount ?? 0;
  const remembered = {
    run: context.run,
    project: context.project,
    ...(target.run_id === undefined ? {} : { wandb_run: target.run_id }),
    queues: { ...queues, [context.queue]: firstOffset },
  };
  await client.putRun(path, {
    // A name that a person gave the run since stays.
    ...(found === undefined ? { displayName: target.run_name ?? `${context.name} noise scale` } : {}),
    group,
    jobType: "noise-scale",
    config: { ...found?.config, [ownKey]: { value: remembered }, _wandb: { value: { m: shownMetrics } } },
  });
  return { path, writer: undefined, firstOffset, summary: found?.summary ?? {} };
}

/**
 * The user's own run, with a stream beside the trainer's. In a run that is not shared W&B loses rows of the trainer's then,
 * so that the hook's word is checked against W&B's own record of how the run was started.
 */
export async function openShared(
  client: WandbClient,
  place: Pick<WandbRunPath, "entity" | "project">,
  runId: string,
  context: RunContext,
): Promise<RunWriter> {
  const path = { ...place, run: runId };
  const found = await client.findRun(path);
  if (found === undefined) throw runNotThere(path);
  const features = telemetrySchema.safeParse(found.config["_wandb"]).data?.value.t["3"] ?? [];
  if (!features.includes(sharedModeFeature)) {
    throw new TrackerError(
      `wandb: the run ${JSON.stringify(runId)} was not started in shared mode by W&B's own record of it, and a second writer would ` +
        'cost it rows. Start it with wandb.init(settings=wandb.Settings(mode="shared")), or leave the mode out: a companion run ' +
        "takes the numbers.",
      { retryable: false },
    );
  }
  return { path, writer: writerId(context), firstOffset: 0, summary: {} };
}
