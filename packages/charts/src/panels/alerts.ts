import { numberText } from "../number-text.ts";
import type { PanelAlert, PanelData } from "../panel-data.ts";
import { lineDataset, type PanelConfiguration, type PanelDataset, panelFrame } from "../panel-frame.ts";
import type { Theme } from "../theme.ts";
import { stepAxis } from "./step-series.ts";

/** What a row is called; in the order of the rows. */
const rows: readonly (readonly [rule: string, name: string])[] = [
  ["batch-too-large", "batch too large"],
  ["batch-too-small", "batch too small"],
  ["signal-lost", "signal lost"],
  ["noise-scale-jumped", "jump"],
  ["learning-rate-changed", "learning rate"],
  ["batch-size-changed", "batch size"],
  ["not-finite", "not finite"],
  ["measurements-stopped", "stopped"],
];
/** Alerts in words. */
const listed = 5;

/** Panel 9: a row a rule, a mark where an alert was raised, and a bar for as long as it lasted or lasts. */
export function alertsPanel({ alerts = [], series }: PanelData, theme: Theme): PanelConfiguration {
  const shown = rows.filter(([rule]) => alerts.some((alert) => alert.rule === rule));
  const x = stepAxis([series]);
  // Between the first step that is known and the last: an event may be of a step that was not measured.
  const within = (step: number): number => Math.min(Math.max(step, x.min), x.max);
  const marks: PanelDataset[] = [];
  const bars: PanelDataset[] = [];
  for (const alert of alerts) {
    const y = shown.findIndex(([rule]) => rule === alert.rule);
    if (y < 0) continue;
    const colour = alert.severity === "info" ? theme.blue : theme.orange;
    const from = { x: within(alert.step), y };
    marks.push(lineDataset([from], colour, { showLine: false, pointRadius: 4 }));
    if (alert.ended_step === alert.step) continue;
    const bar = [from, { x: within(alert.ended_step ?? x.max), y }];
    bars.push(lineDataset(bar, colour, { borderWidth: alert.ended_step === null ? 6 : 2, borderCapStyle: "butt" }));
  }
  return panelFrame(theme, {
    datasets: [...marks, ...bars],
    x,
    y: { kind: "names", names: shown.length === 0 ? [""] : shown.map(([, name]) => name) },
    labels: [],
  });
}

export function alertsText({ alerts = [] }: PanelData): string {
  if (alerts.length === 0) return "Nothing was raised.";
  const lasting = alerts.filter((alert) => alert.ended_step === null).reverse();
  const past = alerts.filter((alert) => alert.ended_step !== null).reverse();
  const words = [...lasting, ...past].slice(0, listed).map(sentence);
  const more = alerts.length - words.length;
  return [...words, ...(more > 0 ? [`And ${more} more.`] : [])].join(" ");
}

function sentence({ title, step, ended_step: ended }: PanelAlert): string {
  const from = numberText(step);
  if (ended === null) return `${title}, since step ${from}.`;
  return ended === step ? `${title} (step ${from}).` : `${title} (step ${from} to ${numberText(ended)}).`;
}
