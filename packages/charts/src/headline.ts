import { estimateText, numberText, timesText } from "./number-text.ts";
import { type PanelAlert, type PanelSnapshot, unitWords } from "./panel-data.ts";
import { basisRemark, basisWords, dataSetWords, noiseScaleName } from "./recommendation-words.ts";

/** Both batch sizes within this factor: changing is not worth a sentence. */
const closeEnough = 1.25;

export interface Headline {
  /** What to do and what it costs; where nothing is known, what is missing. */
  readonly sentence: string;
  /** What that rests on and how sure it is. */
  readonly basis: string;
}

/** The two sentences on top of the page, in notes and in the command's summary. */
export function headline(snapshot: PanelSnapshot): Headline {
  const { batch_size: current } = snapshot;
  const { batch_size: recommended, critical_batch_size: noiseScale } = snapshot.recommendation;
  const units = unitWords[snapshot.unit];
  if (noiseScale === null || current === null || recommended === null) return unknownHeadline(snapshot);
  const steps = (1 + noiseScale / recommended) / (1 + noiseScale / current);
  const cost = (1 + recommended / noiseScale) / (1 + current / noiseScale);
  const ratio = recommended / current;
  const sentence =
    ratio < closeEnough && ratio > 1 / closeEnough
      ? `The batch of ${numberText(current)} is about right.`
      : `From here on, a batch of ${numberText(recommended)} would take ${timesText(steps)} the steps for ${timesText(cost)} the ${units}.`;
  return { sentence, basis: basisOf(snapshot, noiseScale) };
}

function basisOf(snapshot: PanelSnapshot, criticalBatchSize: number): string {
  const now = snapshot.batch_size === null ? "" : `Now ${numberText(snapshot.batch_size)}. `;
  const held = snapshot.warnings.filter(({ code }) => code === "held-back").map(({ message }) => ` ${message}`);
  return `${now}${basisWords(snapshot, criticalBatchSize)}${held.join("")}${dataSetWords(snapshot)}`;
}

/** Codes of the warnings that say why there is no number. */
const reasonCodes: ReadonlySet<string> = new Set([
  "invalid",
  "too-few-measurements",
  "not-identifiable",
  "b-noise-lost",
  "held-back",
]);

function unknownHeadline(snapshot: PanelSnapshot): Headline {
  const units = unitWords[snapshot.unit];
  if (snapshot.measurements === 0) {
    return { sentence: "Waiting for the first measurement.", basis: "The training hook has not sent one yet." };
  }
  const reason = snapshot.warnings.find(({ code }) => reasonCodes.has(code))?.message ?? "";
  const { b_simple_low: low, batch_size: current } = snapshot;
  const { critical_batch_size: value, critical_batch_size_low: critical } = snapshot.recommendation;
  if (value !== null) {
    return {
      sentence: `No batch size is recommended yet: it would be near ${estimateText(value)} now.`,
      basis: reason,
    };
  }
  if (snapshot.recommendation.basis === "b_noise") {
    return { sentence: "B_noise is not identifiable at the moment.", basis: reason };
  }
  if (low === null || critical === null) return { sentence: "Nothing can be said yet.", basis: reason };
  const useful = usefulShare(snapshot);
  const now =
    current === null || useful === undefined
      ? ""
      : ` At the batch of ${numberText(current)}, at least ${percentText(useful)} of the ${units} are useful.`;
  return {
    sentence: `Not identifiable yet: B_simple ≥ ${estimateText(low)} ${units}.`,
    basis:
      `${reason}${now} A batch of ${estimateText(critical)} would take at most twice the least ${units}, as far as B_simple tells.`.trim(),
  };
}

/** Useful share of the compute, 1/(1 + B/𝓑); where only the lower bound of 𝓑 is known, what it is at least. */
function usefulShare({ efficiency, batch_size: current, recommendation }: PanelSnapshot): number | undefined {
  if (efficiency !== null) return efficiency;
  const { critical_batch_size_low: low } = recommendation;
  return current === null || low === null ? undefined : 1 / (1 + current / low);
}

function percentText(share: number): string {
  const percent = share * 100;
  return `${percent >= 1 ? Math.floor(percent) : Number(percent.toPrecision(1))} %`;
}

/** The current numbers and the alerts that last as Markdown, for a tracker's note. */
export function summaryMarkdown(
  name: string,
  snapshot: PanelSnapshot,
  {
    link,
    alerts = [],
  }: { readonly link?: string | undefined; readonly alerts?: readonly PanelAlert[] | undefined } = {},
): string {
  const { sentence, basis } = headline(snapshot);
  const rows = summaryRows(snapshot).map(({ label, value, detail }) => `| ${label} | ${value} | ${detail} |`);
  return [
    `### Noise scale: ${escapeMarkdown(name)}`,
    "",
    `**${sentence}** ${basis}`,
    "",
    "| | now | |",
    "| --- | --- | --- |",
    ...rows,
    ...alerts
      .filter((alert) => alert.ended_step === null && alert.severity !== "info")
      .flatMap(({ title, step }) => ["", `**${escapeMarkdown(title)}**, since step ${numberText(step)}.`]),
    ...(link === undefined ? [] : ["", `[Live panels](${link})`]),
    "",
  ].join("\n");
}

/** One figure with its interval or basis. */
export interface SummaryRow {
  readonly label: string;
  readonly value: string;
  readonly detail: string;
}

/** The five figures of a run. */
export function summaryRows(snapshot: PanelSnapshot): SummaryRow[] {
  const units = unitWords[snapshot.unit];
  const { predicted, recommendation } = snapshot;
  const useful = usefulShare(snapshot);
  return [
    {
      label: "B_simple now",
      value: estimateOf(snapshot.b_simple, snapshot.b_simple_low),
      detail:
        snapshot.b_simple === null && snapshot.b_simple_low !== null
          ? `${units}; no upper bound`
          : rangeOf(snapshot.b_simple_low, snapshot.b_simple_high, units, ""),
    },
    {
      label: "Critical batch size, this run",
      value: predicted.critical_batch_size === null ? "–" : estimateText(predicted.critical_batch_size),
      detail: rangeOf(
        predicted.critical_batch_size_low,
        predicted.critical_batch_size_high,
        "",
        `from ${noiseScaleName(predicted.basis)}`,
      ),
    },
    {
      label: "Recommended batch size",
      value: recommendation.batch_size === null ? "–" : numberText(recommendation.batch_size),
      detail:
        recommendation.held_back === null
          ? rangeOf(recommendation.batch_size_low, recommendation.batch_size_high, "", basisRemark(recommendation))
          : "held while the learning rate changes",
    },
    {
      label: "Useful share of compute",
      value: useful === undefined ? "–" : `${snapshot.efficiency === null ? "≥ " : ""}${percentText(useful)}`,
      detail: snapshot.batch_size === null ? "no batch yet" : `at batch ${numberText(snapshot.batch_size)}`,
    },
    snapshot.b_noise === null ? signalRow(snapshot) : noiseRow(snapshot),
  ];
}

/** Where B_noise is known the signal is, too. */
function noiseRow({ b_noise: value, b_noise_low: low, b_noise_high: high, unit }: PanelSnapshot): SummaryRow {
  return { label: "B_noise now", value: estimateOf(value, low), detail: rangeOf(low, high, unitWords[unit], "") };
}

function signalRow({ identifiable, measurements }: PanelSnapshot): SummaryRow {
  return {
    label: "Signal",
    value: identifiable ? "identified" : measurements === 0 ? "–" : "not identified",
    detail: `after ${numberText(measurements)} ${measurements === 1 ? "measurement" : "measurements"}`,
  };
}

function estimateOf(value: number | null, low: number | null): string {
  if (value !== null) return estimateText(value);
  return low === null ? "–" : `≥ ${estimateText(low)}`;
}

function rangeOf(low: number | null, high: number | null, units: string, basis: string): string {
  if (low === null) return "not known yet";
  const range = high === null ? `at least ${estimateText(low)}` : `${estimateText(low)} – ${estimateText(high)}`;
  return [[range, units].filter((part) => part !== "").join(" "), basis].filter((part) => part !== "").join(", ");
}

function escapeMarkdown(text: string): string {
  return text.replace(/[\\`*_{}[\]()#+\-.!|<>&~]/g, (mark) => `\\${mark}`).replace(/\s+/g, " ");
}
