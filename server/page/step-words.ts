import {
  estimateText,
  latencyRatioOf,
  metricName,
  numberText,
  type PanelData,
  type PanelName,
  rateText,
  type SeriesColumnName,
  squareText,
  temperatureName,
  temperatureOf,
} from "@noisescale/charts";
import { adaptiveBatchSize } from "@noisescale/statistics";

type Row = (column: SeriesColumnName) => number | null;

const named = (name: string, value: number | null, text: (value: number) => string): string[] =>
  value === null ? [] : [`${name} ${text(value)}`];

/** A panel whose axis is the step. */
export type StepPanel = Extract<PanelName, "noise-scale" | "schedule" | "signal-and-noise" | "learning-rate">;

/** What a reader says of a step. */
const words: Readonly<Record<StepPanel, (at: Row, data: PanelData) => string[]>> = {
  "noise-scale": (at, { snapshot }) => [
    `B_simple ${intervalWords(at("b_simple"), at("b_simple_low"), at("b_simple_high"))}`,
    ...named("B_noise", at("b_noise"), estimateText),
    ...named(`in ${metricName(snapshot)}`, at("b_preconditioned"), estimateText),
    ...named("recommended", at("recommended_batch_size"), numberText),
    ...named("batch", at("batch_size"), numberText),
  ],
  schedule: (at, { snapshot }) => {
    const [noiseScale, ratio] = [at(snapshot.predicted.basis), latencyRatioOf(snapshot)];
    const adaptive = noiseScale === null || ratio === null ? null : adaptiveBatchSize(noiseScale, ratio);
    return [...named("adaptive", adaptive, estimateText), ...named("batch", at("batch_size"), numberText)];
  },
  "signal-and-noise": (at) => [
    ...named("|G|²", at("gradient_squared_norm"), squareText),
    ...named("tr Σ", at("covariance_trace"), squareText),
  ],
  "learning-rate": (at, { snapshot }) => {
    const [learningRate, batchSize] = [at("learning_rate"), at("batch_size")];
    const hot =
      learningRate === null || batchSize === null ? null : temperatureOf(snapshot, { learningRate, batchSize });
    return [
      ...named("learning rate", learningRate, rateText),
      ...named("batch", batchSize, numberText),
      ...named(temperatureName(snapshot), hot, rateText),
    ];
  },
};

export function isStepPanel(panel: PanelName): panel is StepPanel {
  return Object.hasOwn(words, panel);
}

/** A row's numbers as a panel over steps shows them. */
export function stepWords(panel: StepPanel, data: PanelData, row: number): string {
  const { step, columns } = data.series;
  const at: Row = (column) => columns[column]?.[row] ?? null;
  return [`step ${(step[row] ?? 0).toLocaleString("en-US")}`, ...words[panel](at, data)].join(" · ");
}

function intervalWords(value: number | null, low: number | null, high: number | null): string {
  if (value !== null && low !== null && high !== null)
    return `${estimateText(value)} (${estimateText(low)} – ${estimateText(high)})`;
  return low === null ? "not known" : `≥ ${estimateText(low)}`;
}
