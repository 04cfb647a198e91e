import type { CollectorMetrics } from "./collector-metrics.ts";
import type { LiveUpdates } from "./live-updates.ts";
import type { RunView } from "./run-view.ts";
import type { Store } from "./store/store.ts";

type Labels = Readonly<Record<string, string>>;
type Sample = readonly [labels: Labels, value: number];

/** The collector and its runs in Prometheus' text format. What is not known has no sample. */
export async function prometheusText(context: {
  readonly metrics: CollectorMetrics;
  readonly store: Store;
  readonly view: RunView;
  readonly live: LiveUpdates;
}): Promise<string> {
  const { metrics, store, view, live } = context;
  const queues = await store.allQueues();
  const webhooks = await store.webhookBacklogs();
  const standing = Map.groupBy(await store.standingAlerts(), ({ runId }) => runId);
  const byRun = Map.groupBy(queues, ({ runId }) => runId);
  const rows = await store.listRuns();
  const runs = await view.summaries(rows, byRun, standing);
  const ofRuns = (value: (run: (typeof runs)[number]) => number | null): Sample[] =>
    runs.flatMap((run) => {
      const known = value(run);
      return known === null ? [] : [[{ run: run.run, project: run.project }, known] as const];
    });
  const ofQueues = (value: (queue: (typeof queues)[number]) => number): Sample[] =>
    queues.map((queue) => [{ run: queue.run, tracker: queue.tracker }, value(queue)]);

  return [
    family("noisescale_measurements_total", "counter", "Measurements received, by what became of them.", [
      [{ result: "accepted" }, metrics.accepted],
      [{ result: "duplicate" }, metrics.duplicates],
      [{ result: "rejected" }, metrics.rejected],
    ]),
    family("noisescale_commits_total", "counter", "Transactions that stored measurements.", [[{}, metrics.commits]]),
    family(
      "noisescale_commit_seconds_total",
      "counter",
      "Time that those took, the fold and the disk's sync included.",
      [[{}, metrics.commitSeconds]],
    ),
    family("noisescale_deliveries_total", "counter", "Deliveries to trackers, by what became of them.", [
      [{ result: "sent" }, metrics.deliveries],
      [{ result: "failed" }, metrics.failedDeliveries],
    ]),
    family("noisescale_webhook_messages_total", "counter", "Alerts to webhooks, by what became of them.", [
      [{ result: "sent" }, metrics.messages],
      [{ result: "failed" }, metrics.failedMessages],
    ]),
    family(
      "noisescale_webhook_backlog",
      "gauge",
      "Alerts that a webhook has not taken.",
      webhooks.map(({ webhook, waiting }) => [{ webhook }, waiting]),
    ),
    family(
      "noisescale_webhook_refused",
      "gauge",
      "Alerts that a webhook refuses for good: /v1/alerts says why.",
      webhooks.map(({ webhook, refused }) => [{ webhook }, refused]),
    ),
    family(
      "noisescale_run_alerts",
      "gauge",
      "Alerts that last.",
      rows.map((run) => [{ run: run.run, project: run.declaration.project }, standing.get(run.id)?.length ?? 0]),
    ),
    family("noisescale_live_pages", "gauge", "Pages that watch a run live.", [[{}, live.connections]]),
    family("noisescale_runs", "gauge", "Runs that the store holds.", [[{}, runs.length]]),
    family(
      "noisescale_outbox_backlog",
      "gauge",
      "Deliveries that a tracker has not acknowledged.",
      ofQueues(({ backlog }) => backlog),
    ),
    family(
      "noisescale_outbox_parked",
      "gauge",
      "1 where a tracker refuses for good: the run's detail says why.",
      ofQueues(({ parked }) => (parked ? 1 : 0)),
    ),
    family(
      "noisescale_run_measurements",
      "gauge",
      "Measurements that count.",
      ofRuns(({ measurements }) => measurements),
    ),
    family(
      "noisescale_run_step",
      "gauge",
      "Last step.",
      ofRuns(({ step }) => step),
    ),
    family(
      "noisescale_run_b_simple",
      "gauge",
      "Noise scale, in the run's unit.",
      ofRuns((run) => run.b_simple),
    ),
    family(
      "noisescale_run_b_simple_low",
      "gauge",
      "Lower bound of the noise scale (95 %).",
      ofRuns((run) => run.b_simple_low),
    ),
    family(
      "noisescale_run_batch_size",
      "gauge",
      "Batch size of the last step.",
      ofRuns((run) => run.batch_size),
    ),
    family(
      "noisescale_run_recommended_batch_size",
      "gauge",
      "Recommended batch size.",
      ofRuns((run) => run.recommended_batch_size),
    ),
  ].join("");
}

function family(name: string, type: "counter" | "gauge", help: string, samples: readonly Sample[]): string {
  const lines = samples.map(([labels, value]) => `${name}${labelText(labels)} ${value}\n`);
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join("")}`;
}

function labelText(labels: Labels): string {
  const pairs = Object.entries(labels).map(([label, value]) => `${label}="${escapeLabel(value)}"`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

function escapeLabel(value: string): string {
  return value.replace(/\\/g, "\\\\").replace(/"/g, '\\"').replace(/\n/g, "\\n");
}
