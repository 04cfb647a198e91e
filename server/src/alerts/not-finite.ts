import type { RunEvent } from "@noisescale/protocol";
import type { AlertRow, RunRow, StoreTransaction } from "../store/store.ts";
import type { ProjectAlerts } from "./alert-settings.ts";
import { raiseAlert } from "./raise-alert.ts";

const rule = "not-finite";
/** Steps without such a gradient after which the next one is news again. */
const quietSteps = 1000;

/**
 * Gradients that were not finite, as the hook reports them: one alert until none came for a while; those that follow only move
 * its end.
 *
 * @returns alerts that are to be sent
 */
export async function recordNotFinite(
  transaction: StoreTransaction,
  run: RunRow,
  attempt: number,
  events: readonly RunEvent[],
  settings: ProjectAlerts,
): Promise<readonly AlertRow[]> {
  const found = events.filter(({ kind, code }) => kind === "dropped" && code === rule);
  if (found.length === 0 || settings.off.has(rule)) return [];
  const made: AlertRow[] = [];
  let last = await transaction.lastAlert(run.id, attempt, rule);
  for (const { step, time_ms: timeMs } of found.toSorted((one, other) => one.step - other.step)) {
    const end = last?.endedStep ?? Number.NEGATIVE_INFINITY;
    if (last !== undefined && Math.abs(step - end) <= quietSteps) {
      if (step <= end) continue;
      await transaction.setAlertEnd(last.number, { step, timeMs });
      last = { ...last, endedStep: step };
      continue;
    }
    const alert = {
      attempt,
      step,
      timeMs,
      rule,
      severity: "warning",
      title: `The gradient was not finite at step ${step.toLocaleString("en-US")}`,
      text: "The hook left the step out. Once under loss scaling is nothing to worry about; where it goes on, lower the learning rate, clip the gradient, and look at the data of that step.",
      endedStep: step,
      endedTimeMs: timeMs,
    } as const;
    const row = await raiseAlert(transaction, run.id, alert, settings);
    last = row;
    made.push(row);
  }
  return made.filter(({ sent }) => sent);
}
