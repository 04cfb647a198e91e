import { randomUUID } from "node:crypto";
import { metricKey } from "@noisescale/tracker";
import type { TrackioClient } from "./client.ts";
import { rowCalls } from "./transform.ts";

/** Where a test run is made, if any project may be reached. */
const testProject = "noisescale-doctor";

/**
 * Logs a value to a run of its own and deletes the run.
 *
 * @returns what was tried
 * @throws TrackerError of the first step that is refused
 */
export async function trySelf(client: TrackioClient, reachable: readonly string[] | undefined): Promise<string> {
  const project = reachable?.[0] ?? testProject;
  const place = { project, runId: randomUUID().replaceAll("-", ""), runName: "noisescale doctor" };
  const point = { key: metricKey.batchSize, step: 0, timeMs: Date.now(), value: 1 };
  try {
    for (const rows of rowCalls(place, [point])) await client.log(rows);
  } catch (error) {
    // What was refused first is what there is to mend.
    await client.deleteRun(project, place.runId).catch(() => undefined);
    throw error;
  }
  await client.deleteRun(project, place.runId);
  return `Wrote a metric into a run of its own in the project ${JSON.stringify(project)} at ${client.server} and deleted it.`;
}
