import type { AlertRow, NewAlert, StoreTransaction } from "../store/store.ts";
import type { ProjectAlerts } from "./alert-settings.ts";

/** Alerts of one rule that a run may send: a job that reports without end fills its own history, and nobody's inbox. */
export const sentAlertLimit = 25;

/**
 * Puts an alert into the run's history, to be sent where its project wants that.
 *
 * @param isNews - false: it only completes the history
 */
export async function raiseAlert(
  transaction: StoreTransaction,
  runId: number,
  alert: Omit<NewAlert, "sent">,
  settings: ProjectAlerts,
  isNews = true,
): Promise<AlertRow> {
  const wanted = isNews && settings.sends(alert.severity);
  const sent = wanted && (await transaction.countSentAlerts(runId, alert.rule)) < sentAlertLimit;
  const [row] = await transaction.insertAlerts(runId, [{ ...alert, sent }]);
  return row as AlertRow;
}
