import type { Alert, AlertRule, AlertSeverity } from "@noisescale/protocol";
import { element } from "./element.ts";

const ruleNames: Readonly<Record<AlertRule, string>> = {
  "batch-too-large": "batch too large",
  "batch-too-small": "batch too small",
  "signal-lost": "signal lost",
  "noise-scale-jumped": "noise scale jumped",
  "learning-rate-changed": "learning rate changed",
  "batch-size-changed": "batch size changed",
  "measurements-stopped": "measurements stopped",
  "not-finite": "not finite",
};

export function ruleName(rule: AlertRule): string {
  return ruleNames[rule];
}

/** A word with a mark of its own shape, so that colour is not all that tells severities apart. */
export function severityMark(severity: AlertSeverity, text: string): HTMLElement {
  return element("span", { class: "severity", "data-severity": severity }, text);
}

/** From which step to which it lasted. */
export function alertSteps({ step, ended_step: ended }: Alert): string {
  const from = `step ${step.toLocaleString("en-US")}`;
  if (ended === null) return `since ${from}`;
  return ended === step ? from : `${from} – ${ended.toLocaleString("en-US")}`;
}
