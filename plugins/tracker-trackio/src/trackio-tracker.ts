import {
  checkDelivery,
  type Delivery,
  type Tracker,
  type TrackerCapabilities,
  TrackerError,
  type TrackerRun,
} from "@noisescale/tracker";
import { TrackioClient, type TrackioConnection, trackioServer } from "./client.ts";
import { trySelf } from "./self-test.ts";
import { findPlace, parseTarget, type TrackioPlace } from "./target.ts";
import { panelMedia, panelRow, rowCalls, trackioAlert } from "./transform.ts";

/** What the collector's own configuration says about a trackio server. */
export interface TrackioConfig extends TrackioConnection {
  /** Names of trackio's projects that training jobs may reach; all where it is left out. */
  readonly reachableProjects?: readonly string[] | undefined;
}

const nothingSent = "nothing sent";
const rowsSent = "rows sent";

/**
 * Pushes to a trackio server, into the user's own run (`{"project", "run_id"}`) or into one of the collector's
 * (`{"project", "run_name"}`; the collector's project and the run's name where they are left out).
 *
 * @throws RangeError where the configuration is wrong
 */
export function trackioTracker(config: TrackioConfig): Tracker {
  const client = new TrackioClient(trackioServer(config));
  const kind = "trackio";
  const capabilities: TrackerCapabilities = {
    panels: ["text/html"],
    note: false,
    alerts: true,
    panelData: false,
    pushEverySeconds: 10,
    pushPanelsEverySeconds: 60,
  };
  return {
    kind,
    capabilities,
    async openRun(untrusted, context, opening): Promise<TrackerRun> {
      const target = parseTarget(untrusted);
      const find = (calls: TrackioClient) => findPlace(calls, target, context, config.reachableProjects);
      const { project, runId } = await find(client.cutBy(opening));
      const query = new URLSearchParams({ project, run_ids: runId });
      let closed = false;
      return {
        url: `${client.server}/?${query}`,
        // A row's log_id says what was sent already, so that a position need say no more than whether the run has rows.
        async send(delivery, position, signal): Promise<string> {
          if (closed) throw new TrackerError(`trackio: the run ${runId} was closed.`, { retryable: false });
          checkDelivery({ kind, capabilities }, delivery);
          // Found anew each time: rows under an old name, or of a deleted run, would bring either back.
          const calls = client.cutBy(signal);
          const place = await find(calls);
          if (position === rowsSent && !place.exists) throw deleted(place);
          await deliver(calls, place, delivery);
          // trackio lists a run from its first row on, alerts alone do not make one.
          return delivery.points.length + delivery.panels.length > 0 ? rowsSent : (position ?? nothingSent);
        },
        async close(): Promise<void> {
          closed = true;
        },
      };
    },
    selfTest: () => trySelf(client, config.reachableProjects),
    async close(): Promise<void> {
      client.close();
    },
  };
}

function deleted({ runName, project }: TrackioPlace): TrackerError {
  return new TrackerError(
    `trackio: the run ${JSON.stringify(runName)} was deleted from the project ${JSON.stringify(project)}, and the collector ` +
      "does not bring it back; name another run or project to go on.",
    { retryable: false },
  );
}

/** Metrics first: where files are refused, the numbers are there. A file before the row that shows it. */
async function deliver(client: TrackioClient, place: TrackioPlace, delivery: Delivery): Promise<void> {
  for (const rows of rowCalls(place, delivery.points)) await client.log(rows);
  for (const panel of delivery.panels) await client.putMedia(panelMedia(place, panel));
  if (delivery.panels.length > 0) await client.log(delivery.panels.map((panel) => panelRow(place, panel)));
  const alerts = delivery.alerts ?? [];
  if (alerts.length > 0) await client.alert(alerts.map((alert) => trackioAlert(place, alert)));
}
