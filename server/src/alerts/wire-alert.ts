import type { Alert } from "@noisescale/protocol";
import type { ListedAlert } from "../store/store.ts";

/** An alert as the wire has it. */
export function toWireAlert(alert: ListedAlert): Alert {
  const { number, id, run, project, name, rule, severity, sent, title, text, attempt, step } = alert;
  return {
    number,
    id,
    run,
    project,
    name,
    rule,
    severity,
    sent,
    title,
    text,
    attempt,
    step,
    time_ms: alert.timeMs,
    ended_step: alert.endedStep,
    ended_time_ms: alert.endedTimeMs,
  };
}
