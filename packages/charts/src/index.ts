export { type Headline, headline, type SummaryRow, summaryMarkdown, summaryRows } from "./headline.ts";
export { estimateText, numberText, rateText, shortText, squareText, timesText } from "./number-text.ts";
export {
  type PanelAlert,
  type PanelData,
  type PanelSeries,
  type PanelSnapshot,
  panelColumns,
  type SeriesColumnName,
  type Unit,
  unitWords,
} from "./panel-data.ts";
export { fontFamily, type PanelConfiguration } from "./panel-frame.ts";
export { temperatureName, temperatureOf } from "./panels/learning-rate.ts";
export { latencyRatioOf } from "./panels/schedule.ts";
export {
  isPanelName,
  type PanelName,
  panelConfiguration,
  panelDrawsFrom,
  panelMissing,
  panelNames,
  panelSubtitle,
  panelsOf,
  panelText,
  panelTitle,
} from "./panels.ts";
export { basisName, metricName } from "./recommendation-words.ts";
export { type FrontierNumbers, type SweepData, type SweepTarget, sweepTarget } from "./sweep-data.ts";
export {
  panelsOfSweep,
  type SweepPanel,
  type SweepPanelName,
  sweepHeadline,
  sweepPanelNames,
  sweepPanels,
} from "./sweep-panels.ts";
export { darkTheme, lightTheme, type Theme } from "./theme.ts";
