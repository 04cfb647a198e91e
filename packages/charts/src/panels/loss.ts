import { type LossMeasurement, type LossPoint, lossPoints, noiseScalePowerLaw } from "@noisescale/statistics";
import type { LineLabel } from "../line-labels.ts";
import { logRange } from "../log-axis.ts";
import { estimateText, timesText } from "../number-text.ts";
import { type PanelData, type PanelSeries, unitWords } from "../panel-data.ts";
import { lineDataset, type PanelConfiguration, panelFrame } from "../panel-frame.ts";
import type { Theme } from "../theme.ts";

/** Room beside the first and the last loss, so that no mark lies on an axis. */
const room = 1.08;
/** Upper bounds this far above every value run off the top, as unbounded ones do. */
const tallest = 20;

/** Panel 6: the noise scale against the loss in parts of this run, and the power law through them where one holds. */
export function lossPanel({ snapshot, series }: PanelData, theme: Theme): PanelConfiguration {
  const points = lossPoints(measurementsOf(series));
  const law = noiseScalePowerLaw(points);
  const losses = points.map(({ loss }) => loss);
  const x = points.length === 0 ? { min: 0.1, max: 10 } : { min: Math.min(...losses), max: Math.max(...losses) };
  const values = points.flatMap(({ noiseScale, noiseScaleLow = null }) => [noiseScale, noiseScaleLow]);
  const inner = logRange(values, { min: 1, max: 1000 });
  const tops = points.map(({ noiseScaleHigh }) => Math.min(noiseScaleHigh ?? 0, inner.max * tallest));
  const y = logRange([...values, ...tops], inner);
  const intervals = points.flatMap(({ loss, noiseScaleLow, noiseScaleHigh }) =>
    noiseScaleLow === undefined
      ? []
      : [
          lineDataset(
            [
              { x: loss, y: noiseScaleLow },
              { x: loss, y: noiseScaleHigh ?? y.max * 10 },
            ],
            theme.blueBand,
            { borderWidth: 5, borderCapStyle: "butt" },
          ),
        ],
  );
  const last = points.at(-1);
  const lawAt = (loss: number): number => (law.fitted ? law.noiseScaleAtOne / loss ** (1 / law.alpha) : Number.NaN);
  const ends = [x.min, x.max].map((loss) => ({ x: loss, y: lawAt(loss) }));
  const labels: LineLabel[] = [];
  if (last !== undefined) {
    labels.push({
      text: "now",
      color: theme.blue,
      x: last.loss,
      y: last.noiseScale,
      align: "left",
      position: "beside",
    });
  }
  if (law.fitted) {
    const middle = Math.sqrt(x.min * x.max);
    labels.push({
      text: `${estimateText(law.noiseScaleAtOne)} / loss^(1/${law.alpha.toPrecision(2)})`,
      color: theme.blue,
      x: middle,
      y: lawAt(middle),
      align: "right",
      position: "above",
    });
  }
  return panelFrame(theme, {
    datasets: [
      ...points.map((point) => dot(point, point === last, theme)),
      ...(law.fitted ? [lineDataset(ends, theme.blue, { borderDash: [6, 4], borderWidth: 1.5 })] : []),
      ...intervals,
    ],
    x: { kind: "log", title: "training loss", range: { min: x.min / room, max: x.max * room } },
    y: { kind: "log", title: `B_simple, ${unitWords[snapshot.unit]}`, range: y },
    labels,
  });
}

export function lossText({ snapshot, series }: PanelData): string {
  const points = lossPoints(measurementsOf(series));
  const last = points.at(-1);
  if (last === undefined) return "The loss and the noise scale are not known together yet.";
  const units = unitWords[snapshot.unit];
  const law = noiseScalePowerLaw(points);
  const words = law.fitted
    ? `Power law: ${estimateText(law.noiseScaleAtOne)} ${units} at a loss of 1, divided by loss^(1/${law.alpha.toPrecision(2)}); the parts are off by ${timesText(Math.exp(law.rmsLogResidual))} (root mean square).`
    : law.reason;
  return `Last ${estimateText(last.noiseScale)} ${units} at a loss of ${estimateText(last.loss)}. ${words}`;
}

/** Why nothing can be drawn; undefined where it can. */
export function lossMissing({ series }: PanelData): string | undefined {
  if (!hasLoss(series)) return "The hook does not report the loss.";
  return lossPoints(measurementsOf(series)).length === 0
    ? "Too few measurements have both a loss above 0 and a noise scale."
    : undefined;
}

export function hasLoss({ columns }: PanelSeries): boolean {
  return columns.loss?.some((loss) => loss !== null) ?? false;
}

function measurementsOf({ columns }: PanelSeries): LossMeasurement[] {
  return (columns.b_simple ?? []).flatMap((noiseScale, row) => {
    const loss = columns.loss?.[row] ?? null;
    if (noiseScale === null || loss === null) return [];
    return [
      {
        loss,
        noiseScale,
        noiseScaleLow: columns.b_simple_low?.[row] ?? undefined,
        noiseScaleHigh: columns.b_simple_high?.[row] ?? undefined,
      },
    ];
  });
}

function dot({ loss, noiseScale }: LossPoint, isLast: boolean, theme: Theme) {
  return lineDataset([{ x: loss, y: noiseScale }], theme.blue, { showLine: false, pointRadius: isLast ? 5.5 : 3 });
}
