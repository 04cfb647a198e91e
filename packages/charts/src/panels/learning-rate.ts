import { type SettingChange, settingChanges, type TrainingSettings, temperature } from "@noisescale/statistics";
import type { LineLabel } from "../line-labels.ts";
import { numberText, rateText } from "../number-text.ts";
import type { PanelData, PanelSeries } from "../panel-data.ts";
import {
  lineDataset,
  type PanelConfiguration,
  type PanelDataset,
  type PanelPoint,
  panelFrame,
} from "../panel-frame.ts";
import type { Theme } from "../theme.ts";
import { endLabel, stepAxis } from "./step-series.ts";

/** Rates below this part of the highest run off the bottom: the end of a cosine would flatten everything else. */
const lowest = 1e-3;
/** Room below the lowest and above the highest, so that no line lies on an axis. */
const room = 1.3;
/** With more marks than this only the last has its words. */
const mostLabels = 3;

type KnownSettings = TrainingSettings & { readonly learningRate: number };

/** Panel 8: learning rate and temperature over the steps, each over its highest, with marks where a setting stepped. */
export function learningRatePanel({ snapshot, series }: PanelData, theme: Theme): PanelConfiguration {
  const settings = settingsOf(series);
  const rates = overHighest(settings.map(({ step, learningRate }) => ({ x: step, y: learningRate })));
  const temperatures = overHighest(
    settings.map(({ step, learningRate, batchSize }) => ({
      x: step,
      y: temperature(learningRate, batchSize, snapshot.optimizer ?? undefined),
    })),
  );
  const least = [...rates, ...temperatures].reduce((most, { y }) => Math.min(most, y ?? 1), 0.5);
  const range = { min: Math.max(least, lowest) / room, max: room };
  const changes = settingChanges(settings);
  const marks = changes.map(({ step }): PanelDataset => {
    const line = [range.min, range.max].map((y) => ({ x: step, y }));
    return lineDataset(line, theme.muted, { borderDash: [1, 3], borderWidth: 1.5 });
  });
  const named = changes.length > mostLabels ? changes.slice(-1) : changes;
  const last = settings.at(-1);
  const labels: LineLabel[] =
    last === undefined
      ? []
      : [
          ...endLabel(rates, `learning rate ${rateText(last.learningRate)}`, theme.ink, "above"),
          ...endLabel(
            temperatures,
            `${temperatureName(snapshot)} ${rateText(temperatureOf(snapshot, last))}`,
            theme.blue,
            "below",
          ),
          ...named.map(
            (change): LineLabel => ({
              text: changeWords(change),
              color: theme.muted,
              x: change.step,
              y: range.max,
              align: "right",
              position: "beside",
            }),
          ),
        ];
  return panelFrame(theme, {
    datasets: [
      lineDataset(rates, theme.ink, { borderDash: [2, 3], stepped: "before" }),
      lineDataset(temperatures, theme.blue, { stepped: "before" }),
      ...marks,
    ],
    x: stepAxis([series]),
    y: { kind: "log", title: "× its highest", range },
    labels,
  });
}

export function learningRateSubtitle({ snapshot }: PanelData): string {
  return `each over its highest; temperature: ${temperatureName(snapshot)}, with which B_simple moves; marks: a setting stepped`;
}

export function learningRateText({ snapshot, series }: PanelData): string {
  const settings = settingsOf(series);
  const last = settings.at(-1);
  if (last === undefined) return "No learning rate is known yet.";
  const changes = settingChanges(settings);
  const stepped =
    changes.length === 0
      ? "Neither rate nor batch size has changed at one step."
      : // Of a reduced series the rows on either side are known, and the change lies between them.
        `${changes.length === 1 ? "One change" : `${changes.length} changes, the last`} by step ${numberText(changes.at(-1)?.step ?? 0)}: ${changeWords(changes.at(-1))}.`;
  const held =
    snapshot.recommendation.held_back === null ? "" : " The recommended batch size stands still until it has settled.";
  return `Learning rate ${rateText(last.learningRate)}, temperature ${rateText(temperatureOf(snapshot, last))}. ${stepped}${held}`;
}

/** Why nothing can be drawn; undefined where it can. */
export function learningRateMissing({ series }: PanelData): string | undefined {
  if (!hasLearningRate(series)) return "The hook does not report the learning rate.";
  return settingsOf(series).length === 0 ? "The learning rate is 0 so far." : undefined;
}

export function hasLearningRate({ columns }: PanelSeries): boolean {
  return columns.learning_rate?.some((rate) => rate !== null) ?? false;
}

export function temperatureOf(
  { optimizer }: Pick<PanelData["snapshot"], "optimizer">,
  { learningRate, batchSize }: Pick<KnownSettings, "learningRate" | "batchSize">,
): number {
  return temperature(learningRate, batchSize, optimizer ?? undefined);
}

export function temperatureName({ optimizer }: Pick<PanelData["snapshot"], "optimizer">): string {
  return optimizer === "adam" ? "rate/√batch" : "rate/batch";
}

/** Rows with a rate above 0: a hook may report it now and then, and one between two others is no gap. */
function settingsOf({ step, columns }: PanelSeries): KnownSettings[] {
  return step.flatMap((at, row) => {
    const learningRate = columns.learning_rate?.[row] ?? null;
    const batchSize = columns.batch_size?.[row] ?? null;
    return learningRate === null || batchSize === null || !(learningRate > 0)
      ? []
      : [{ step: at, learningRate, batchSize }];
  });
}

function overHighest(points: readonly { readonly x: number; readonly y: number }[]): PanelPoint[] {
  const highest = points.reduce((most, { y }) => Math.max(most, y), 0);
  return points.map(({ x, y }) => ({ x, y: y / highest }));
}

function changeWords(change: SettingChange | undefined): string {
  const { learningRateFactor, batchSizeFactor } = change ?? {};
  return [
    ...(learningRateFactor === undefined ? [] : [`rate ${factorText(learningRateFactor)}`]),
    ...(batchSizeFactor === undefined ? [] : [`batch ${factorText(batchSizeFactor)}`]),
  ].join(", ");
}

function factorText(factor: number): string {
  return `×${Number(factor.toPrecision(2))}`;
}
