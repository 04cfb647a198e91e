import { randomUUID } from "node:crypto";
import { metricKey } from "@noisescale/tracker";
import type { WandbClient } from "./client.ts";
import type { WandbBounds } from "./target.ts";
import { pointRows } from "./transform.ts";

/** Where a test run is made, if any project may be reached. */
const testProject = "noisescale-doctor";

/**
 * Makes a run with a row and a file and deletes it.
 *
 * @returns what was tried
 * @throws TrackerError of the first step that is refused
 */
export async function trySelf(client: WandbClient, bounds: WandbBounds): Promise<string> {
  const entity = bounds.entity ?? bounds.reachableEntities?.[0] ?? (await client.defaultEntity());
  const project = bounds.reachableProjects?.[0] ?? testProject;
  const path = { entity, project, run: `doctor-${randomUUID().slice(0, 8)}` };
  await client.putRun(path, { displayName: "noisescale doctor", jobType: "noise-scale", config: {} });
  const remove = async (): Promise<void> => {
    const run = await client.findRun(path);
    if (run !== undefined) await client.deleteRun(run.id);
  };
  try {
    const point = { key: metricKey.batchSize, step: 0, timeMs: Date.now(), value: 1 };
    await client.stream(path, { history: { offset: 0, rows: pointRows([point], 0) }, exitCode: 0 });
    await client.putFiles(path, new Map([["noisescale-doctor.txt", Buffer.from("noisescale doctor\n")]]));
  } catch (error) {
    // What was refused first is what there is to mend.
    await remove().catch(() => undefined);
    throw error;
  }
  await remove();
  return `Wrote a row and a file into a run of its own in ${entity}/${project} and deleted it.`;
}
