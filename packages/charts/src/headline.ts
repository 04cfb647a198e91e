import { numberText, timesText } from "./number-text.ts";
import { type PanelSnapshot, unitWords } from "./panel-data.ts";

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
  const { b_simple: noiseScale, batch_size: current } = snapshot;
  const recommended = snapshot.recommendation.batch_size;
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

function basisOf(snapshot: PanelSnapshot, noiseScale: number): string {
  const { b_simple_low: low, b_simple_high: high, batch_size: current } = snapshot;
  const interval = low === null || high === null ? "" : ` (95 % between ${numberText(low)} and ${numberText(high)})`;
  const now = current === null ? "" : `Now ${numberText(current)}. `;
  const calibration = snapshot.recommendation.calibrated
    ? ""
    : " It is an indicator: no sweep of this project says yet how B_simple compares with the batch size that costs the least.";
  return `${now}This rests on B_simple now, ${numberText(noiseScale)} ${unitWords[snapshot.unit]}${interval}.${calibration}`;
}

function unknownHeadline(snapshot: PanelSnapshot): Headline {
  const units = unitWords[snapshot.unit];
  const reasons = snapshot.warnings.map(({ message }) => message).join(" ");
  const low = snapshot.b_simple_low;
  if (snapshot.measurements === 0) {
    return { sentence: "Waiting for the first measurement.", basis: "The training hook has not sent one yet." };
  }
  if (low === null) return { sentence: "Nothing can be said yet.", basis: reasons };
  return {
    sentence: `Not identifiable yet: B_simple ≥ ${numberText(low)} ${units}.`,
    basis: `${reasons} A batch below ${numberText(low)} is on the safe side: more parallel ${units} are nearly free there.`,
  };
}

/** The current numbers as Markdown, for a tracker's note. */
export function summaryMarkdown(name: string, snapshot: PanelSnapshot, link?: string): string {
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
  const range = (low: number | null, high: number | null): string => {
    if (low === null) return "not known yet";
    return high === null ? `at least ${numberText(low)}` : `${numberText(low)} – ${numberText(high)}`;
  };
  const value = (number: number | null): string => (number === null ? "–" : numberText(number));
  return [
    {
      label: "B_simple now",
      value: value(snapshot.b_simple),
      detail: `${range(snapshot.b_simple_low, snapshot.b_simple_high)} ${units}`,
    },
    {
      label: "Critical batch size, this run",
      value: value(predicted.critical_batch_size),
      detail: `${range(predicted.critical_batch_size_low, predicted.critical_batch_size_high)}, from B_simple`,
    },
    {
      label: "Recommended batch size",
      value: value(recommendation.batch_size),
      detail: `${range(recommendation.batch_size_low, recommendation.batch_size_high)}${recommendation.calibrated ? "" : ", uncalibrated"}`,
    },
    {
      label: "Useful share of compute",
      value: snapshot.efficiency === null ? "–" : `${Math.round(snapshot.efficiency * 100)} %`,
      detail: snapshot.batch_size === null ? "no batch yet" : `at batch ${numberText(snapshot.batch_size)}`,
    },
    {
      label: "Signal",
      value: snapshot.identifiable ? "identified" : snapshot.measurements === 0 ? "–" : "not identified",
      detail: `after ${numberText(snapshot.measurements)} ${snapshot.measurements === 1 ? "measurement" : "measurements"}`,
    },
  ];
}

function escapeMarkdown(text: string): string {
  return text.replace(/[\\`*_{}[\]()#+\-.!|<>&~]/g, (mark) => `\\${mark}`).replace(/\s+/g, " ");
}
