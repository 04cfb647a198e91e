import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { type Logger, pino } from "pino";
import { Alerts } from "./alerts/alerts.ts";
import { SilenceWatch } from "./alerts/silence-watch.ts";
import { WebhookWorker } from "./alerts/webhook-worker.ts";
import { createApp } from "./app.ts";
import { CollectorMetrics } from "./collector-metrics.ts";
import { type CollectorConfigInput, parseConfig, readConfigFile } from "./config.ts";
import { Declarations } from "./declarations.ts";
import { Fold } from "./fold.ts";
import { Calibrations } from "./frontier/calibrations.ts";
import { GroupFrontiers } from "./frontier/group-frontiers.ts";
import { Ingest } from "./ingest.ts";
import { LiveUpdates } from "./live-updates.ts";
import type { ConfiguredTrackers } from "./outbox/configured-tracker.ts";
import { isGone } from "./outbox/lease-owner.ts";
import { OutboxWorker } from "./outbox/outbox-worker.ts";
import { PanelRenderer } from "./panels/panel-renderer.ts";
import { RunPanels } from "./panels/run-panels.ts";
import { refoldOutdated } from "./refold-outdated.ts";
import type { CollectorContext } from "./routes/collector-context.ts";
import { RunSilence } from "./run-silence.ts";
import { RunView } from "./run-view.ts";
import { SqliteStore } from "./store/sqlite-store.ts";

/** What is sent before the collector ends; the rest is sent after its next start [ms]. */
const flushOnCloseMs = 5000;
/** Requests under way may take this long to end [ms]. */
const drainOnCloseMs = 5000;

export interface CollectorOptions {
  /** Where the SQLite file lies; made if it is not there. */
  readonly dataDirectory: string;
  /** In place of the configuration's. */
  readonly host?: string;
  /** In place of the configuration's; 0 takes a free one. */
  readonly port?: number;
  /** As in `noisescale.config.json`; paths are relative to the working directory. */
  readonly config?: CollectorConfigInput;
  /** Read where `config` is not given; by default `noisescale.config.json`, where there is one. */
  readonly configFile?: string;
  /** Trackers beside the configured ones, by name. */
  readonly trackers?: ConfiguredTrackers;
  /** By default warnings and errors go to standard error. */
  readonly logger?: Logger;
}

export interface Collector {
  /** Address of the page, without a slash at the end. */
  readonly url: string;
  /** Ends requests under way, sends what trackers are due for a bounded time, and closes the store. May be called twice. */
  close(): Promise<void>;
}

/**
 * Starts a collector and answers when it takes requests.
 *
 * @throws ConfigError where the configuration is wrong; Error where the port is taken or the store cannot be opened
 */
export async function startCollector(options: CollectorOptions): Promise<Collector> {
  const logger = options.logger ?? pino({ level: "warn" }, pino.destination({ dest: 2, sync: true }));
  const config =
    options.config === undefined
      ? readConfigFile(options.configFile)
      : parseConfig(options.config, "The configuration", ".");
  const trackers = new Map([...(await config.openTrackers()), ...(options.trackers ?? [])]);
  const store = new SqliteStore(join(options.dataDirectory, "noisescale.sqlite"));
  const { settings: alertSettings, webhooks } = config.alerts;
  const fold = new Fold(alertSettings);
  const metrics = new CollectorMetrics();
  await refoldOutdated(store, fold, logger);
  await store.transaction(async (transaction) => {
    await transaction.unparkAll();
    await transaction.releaseLeases(isGone);
  });

  const runSilence = new RunSilence(store, alertSettings);
  const view = new RunView(store, fold, trackers, runSilence);
  const renderer = new PanelRenderer();
  const panels = new RunPanels(store, view, renderer, config.publicUrl);
  const live = new LiveUpdates(async (name) => {
    const run = await store.findRun(name);
    if (run === undefined) return undefined;
    return { state: { state: await view.state(run) }, snapshot: await view.snapshot(run) };
  }, config.limits.live_pages);
  const delivered = (succeeded: boolean): void => metrics.delivered(succeeded);
  const workers = new Map(
    [...trackers].map(([name, tracker]) => [
      name,
      new OutboxWorker(name, tracker, { store, fold, panels, logger, delivered }),
    ]),
  );
  const webhookWorkers = [...webhooks].map(
    ([name, webhook]) =>
      new WebhookWorker(name, webhook, { store, logger, delivered: metrics.messageSent.bind(metrics) }),
  );
  const wakeOutbox = (names: ReadonlySet<string>): void => {
    for (const name of names) workers.get(name)?.wake();
    for (const worker of webhookWorkers) worker.wake();
  };
  const alerts = new Alerts({ settings: alertSettings, trackers, webhooks, publicUrl: config.publicUrl });
  const silence = new SilenceWatch({
    store,
    silence: runSilence,
    alerts,
    logger,
    raised: (run, names) => {
      live.changed(run);
      wakeOutbox(new Set(names));
    },
  });
  const ingest = new Ingest(store, fold, {
    trackers,
    alerts,
    layerLimit: config.limits.layers,
    committed: (commit) => {
      metrics.committed(commit.durationMs);
      for (const run of commit.runs) live.changed(run);
      wakeOutbox(commit.trackers);
    },
  });
  const declarations = new Declarations(store, fold, trackers, config.limits.runs);
  const frontiers = new GroupFrontiers(store);
  const context: CollectorContext = {
    store,
    fold,
    ingest,
    declarations,
    view,
    panels,
    frontiers,
    calibrations: new Calibrations(store, frontiers),
    live,
    metrics,
    trackers,
    alerts,
    webhooks,
    limits: config.limits,
    logger,
    wakeOutbox,
  };

  const server = createServer(createApp(context, { allowedHosts: config.allowedHosts, publicUrl: config.publicUrl }));
  const host = options.host ?? config.host;
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(options.port ?? config.port, host, resolve);
    });
  } catch (error) {
    live.close();
    await Promise.all([...trackers.values()].map(({ tracker }) => tracker.close()));
    await store.close();
    throw error;
  }
  for (const worker of workers.values()) worker.start();
  for (const worker of webhookWorkers) worker.start();
  silence.start();
  const url = `http://${host.includes(":") ? `[${host}]` : host}:${(server.address() as AddressInfo).port}`;
  logger.info({ url }, "collector ready");

  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    live.close();
    server.closeIdleConnections();
    const drained = setTimeout(() => server.closeAllConnections(), drainOnCloseMs);
    await closed;
    clearTimeout(drained);
    await ingest.idle();
    await silence.close();
    await Promise.all([...workers.values(), ...webhookWorkers].map((worker) => worker.finish(flushOnCloseMs)));
    await Promise.all([...trackers.values()].map(({ tracker }) => tracker.close()));
    await renderer.close();
    await store.close();
  };
  return {
    url,
    close: () => {
      closing ??= close();
      return closing;
    },
  };
}
