import { isMetricKey } from "./metric-key.ts";
import type { Delivery, Tracker } from "./tracker.ts";
import { TrackerError } from "./tracker-error.ts";

/** Of an alert [characters]: a message, not a report. */
const longestTitle = 200;
const longestText = 2000;

/**
 * The rules that every plugin applies before it writes anything: trackers take what breaks them, and each does something
 * else and wrong with it (NaN becomes 0, infinity 1.8e308, a fractional step is kept).
 *
 * @throws TrackerError, not retryable, naming the first point, panel, alert or note that breaks a rule
 */
export function checkDelivery(tracker: Pick<Tracker, "kind" | "capabilities">, delivery: Delivery): void {
  const refuse = (what: string, rule: string): never => {
    throw new TrackerError(`${tracker.kind}: ${what} was not sent: ${rule}.`, { retryable: false });
  };
  const checkMoment = (what: string, at: { readonly step: number; readonly timeMs: number }): void => {
    if (!Number.isSafeInteger(at.step) || at.step < 0)
      refuse(what, `its step must be a whole number ≥ 0, not ${at.step}`);
    if (!Number.isSafeInteger(at.timeMs) || at.timeMs < 0) {
      refuse(what, `its timeMs must be whole milliseconds since 1970, not ${at.timeMs}`);
    }
  };

  for (const point of delivery.points) {
    const what = `the point ${JSON.stringify(point.key)} at step ${point.step}`;
    if (!isMetricKey(point.key)) {
      refuse(what, "a key holds A–Z, a–z, 0–9, _ . / - only, no empty, . or .. segment, at most 250 characters");
    }
    if (!Number.isFinite(point.value)) refuse(what, `its value must be finite, not ${point.value}; leave it out`);
    checkMoment(what, point);
  }
  for (const panel of delivery.panels) {
    const what = `the panel ${JSON.stringify(panel.panel)}`;
    if (!/^[a-z0-9_-]{1,64}$/.test(panel.panel))
      refuse(what, "a panel's name holds a–z, 0–9, _ and - only, at most 64");
    if (!tracker.capabilities.panels.includes(panel.contentType)) {
      refuse(what, `this tracker shows no ${panel.contentType}, only ${tracker.capabilities.panels.join(", ")}`);
    }
    checkMoment(what, panel);
  }
  for (const alert of delivery.alerts ?? []) {
    const what = `the alert ${JSON.stringify(alert.id)}`;
    if (!tracker.capabilities.alerts) refuse(what, "this tracker takes no alerts");
    if (!/^[A-Za-z0-9-]{1,64}$/.test(alert.id))
      refuse(what, "an alert's id holds A–Z, a–z, 0–9 and - only, at most 64");
    if (!/^[a-z0-9-]{1,64}$/.test(alert.rule)) refuse(what, "an alert's rule holds a–z, 0–9 and - only, at most 64");
    if (alert.title === "" || alert.title.length > longestTitle || /\p{Control}/u.test(alert.title)) {
      refuse(what, `its title must be one line of at most ${longestTitle} characters`);
    }
    if (alert.text.length > longestText) refuse(what, `its text must be at most ${longestText} characters`);
    checkMoment(what, alert);
  }
  if (delivery.panelData !== undefined) {
    if (!tracker.capabilities.panelData) refuse("the panels' data", "this tracker takes none");
    checkMoment("the panels' data", delivery.panelData);
  }
  if (delivery.note !== undefined) checkMoment("the note", delivery.note);
}
