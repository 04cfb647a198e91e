import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect } from "vitest";
import { wandbPython } from "../../plugins/tracker-wandb/test/wandb-python.ts";
import { apiKey, type StoredRun, WandbServer } from "../../plugins/tracker-wandb/test/wandb-server.ts";
import { describeTrackerFaults, type FaultyTracker } from "./tracker-faults-suite.ts";

const violations: string[] = [];
afterAll(() => expect(violations).toEqual([]));

describeTrackerFaults("W&B", startWandb, { credentials: "api_key", deleted: "deleted" });

async function startWandb(): Promise<FaultyTracker> {
  const folder = await mkdtemp(join(tmpdir(), "noisescale-wandb-"));
  const server = await WandbServer.start();
  const reader = wandbPython(server, folder);
  const find = (run: string, project: string): StoredRun | undefined => {
    const found = [...server.runs.values()].filter(
      (one) => one.project === project && JSON.stringify(one.config["noisescale"])?.includes(`"run":"${run}"`),
    );
    if (found.length > 1) throw new Error(`${run} has ${found.length} companions`);
    return found[0];
  };
  return {
    url: server.url,
    config: (name, address, credentials) => ({
      name,
      kind: "wandb",
      base_url: address,
      api_key: credentials === "right" ? apiKey : "b".repeat(40),
      entity: "me",
    }),
    bringsRows: (path) => path.endsWith("/file_stream"),
    steps: async (run, project) => {
      const found = find(run, project);
      if (found === undefined) return [];
      const { history } = (await reader.ask("read", project, found.name)) as {
        readonly history: readonly Readonly<Record<string, unknown>>[];
      };
      return history.flatMap((row) => ("noise_scale/batch_size" in row ? [Number(row["noise_scale/step"])] : []));
    },
    alerts: async (run, project) => (find(run, project)?.alerts ?? []).map(({ title }) => title),
    deleteRun: async (run, project) => {
      const found = find(run, project);
      if (found !== undefined) server.delete(found);
    },
    stop: async () => {
      violations.push(...server.violations);
      reader.stop();
      await server.stop();
      await rm(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
    },
  };
}
