import type { Logger } from "pino";
import type { Alerts } from "../alerts/alerts.ts";
import type { Webhooks } from "../alerts/webhook.ts";
import type { CollectorMetrics } from "../collector-metrics.ts";
import type { CollectorLimits } from "../config.ts";
import type { Declarations } from "../declarations.ts";
import type { Fold } from "../fold.ts";
import type { Calibrations } from "../frontier/calibrations.ts";
import type { GroupFrontiers } from "../frontier/group-frontiers.ts";
import type { Ingest } from "../ingest.ts";
import type { LiveUpdates } from "../live-updates.ts";
import type { ConfiguredTrackers } from "../outbox/configured-tracker.ts";
import type { RunPanels } from "../panels/run-panels.ts";
import type { RunView } from "../run-view.ts";
import type { Store } from "../store/store.ts";

/** What the routes work with. */
export interface CollectorContext {
  readonly store: Store;
  readonly fold: Fold;
  readonly ingest: Ingest;
  readonly declarations: Declarations;
  readonly view: RunView;
  readonly panels: RunPanels;
  readonly frontiers: GroupFrontiers;
  readonly calibrations: Calibrations;
  readonly live: LiveUpdates;
  readonly metrics: CollectorMetrics;
  readonly trackers: ConfiguredTrackers;
  readonly alerts: Alerts;
  readonly webhooks: Webhooks;
  readonly limits: CollectorLimits;
  readonly logger: Logger;
  /** Wakes the senders of these trackers, and those of the webhooks. */
  wakeOutbox(trackers: ReadonlySet<string>): void;
}
