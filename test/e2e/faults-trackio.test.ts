import { TrackioServer } from "../../plugins/tracker-trackio/test/trackio-server.ts";
import { describeTrackerFaults, type FaultyTracker } from "./tracker-faults-suite.ts";

describeTrackerFaults("trackio", startTrackio, { credentials: "write_token", deleted: "deleted" });

async function startTrackio(): Promise<FaultyTracker> {
  const server = await TrackioServer.start();
  const idOf = async (run: string, project: string): Promise<string | undefined> => {
    const found = (await server.runs(project)).filter(({ name }) => name === run);
    if (found.length > 1) throw new Error(`${run} has ${found.length} runs in trackio`);
    return found[0]?.id;
  };
  return {
    url: server.url,
    config: (name, address, credentials) => ({
      name,
      kind: "trackio",
      server_url: address,
      write_token: credentials === "right" ? server.writeToken : "another token",
    }),
    bringsRows: (path) => path === "/api/bulk_log" || path === "/api/bulk_alert",
    steps: async (run, project) => {
      const id = await idOf(run, project);
      const rows = id === undefined ? [] : (await server.read(project, id)).logs;
      return rows.flatMap((row) => ("noise_scale/batch_size" in row ? [Number(row["step"])] : []));
    },
    alerts: async (run, project) => (await server.alerts(project, run)).map(({ title }) => title),
    deleteRun: async (run, project) => server.delete(project, (await idOf(run, project)) ?? ""),
    stop: () => server.stop(),
  };
}
