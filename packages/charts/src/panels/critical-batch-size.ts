import type { LogRange } from "../log-axis.ts";
import { estimateText } from "../number-text.ts";
import { unitWords } from "../panel-data.ts";
import { lineDataset, type PanelConfiguration, type PanelDataset, panelFrame } from "../panel-frame.ts";
import type { SweepData, SweepTarget } from "../sweep-data.ts";
import type { Theme } from "../theme.ts";

const room = 1.3;

/** Panel 6 of a sweep: the critical batch size of each target with its interval, and the power law through them. */
export function criticalBatchSizePanel({ targets, unit, powerLaw }: SweepData, theme: Theme): PanelConfiguration {
  const losses = targets.map(({ target }) => target);
  const sizes = targets.flatMap((target) => [
    target.criticalBatchSize,
    target.criticalBatchSizeLow,
    target.criticalBatchSizeHigh,
  ]);
  const y = around(sizes.filter((size) => size !== undefined));
  const law = (loss: number): number =>
    powerLaw.fitted ? powerLaw.criticalBatchSizeAtOne / loss ** (1 / powerLaw.alpha) : Number.NaN;
  const lawEnds = [Math.min(...losses), Math.max(...losses)].map((loss) => ({ x: loss, y: law(loss) }));
  const place = lawEnds[0] ?? { x: Number.NaN, y: Number.NaN };
  return panelFrame(theme, {
    datasets: [
      ...targets.map((target) => dot(target, theme)),
      ...targets.map((target) => interval(target, y, theme)),
      ...(powerLaw.fitted ? [lineDataset(lawEnds, theme.orange, { borderDash: [6, 4] })] : []),
    ],
    x: losses.every((loss) => loss > 0)
      ? { kind: "log", title: "target loss", range: around(losses) }
      : { kind: "linear", title: "target", min: Math.min(...losses), max: Math.max(...losses) },
    y: { kind: "log", title: `critical batch size, ${unitWords[unit]}`, range: y },
    labels: powerLaw.fitted
      ? [
          {
            text: `${estimateText(powerLaw.criticalBatchSizeAtOne)} / loss^(1/${powerLaw.alpha.toPrecision(3)})`,
            color: theme.orange,
            ...place,
            align: "right",
            position: "above",
          },
        ]
      : [],
  });
}

export function criticalBatchSizeText({ targets, powerLaw }: SweepData): string {
  const each = targets
    .map(({ target, criticalBatchSize }) => `${estimateText(criticalBatchSize)} at ${target}`)
    .join(", ");
  const law = powerLaw.fitted
    ? `Power law over the targets: ${estimateText(powerLaw.criticalBatchSizeAtOne)} / loss^(1/${powerLaw.alpha.toPrecision(3)}).`
    : powerLaw.reason;
  return `Critical batch size ${each}. ${law}`;
}

function dot({ target, criticalBatchSize }: SweepTarget, theme: Theme): PanelDataset {
  return lineDataset([{ x: target, y: criticalBatchSize }], theme.blue, { showLine: false, pointRadius: 5 });
}

/** Room on both sides, so that no mark lies on an axis. */
function around(values: readonly number[]): LogRange {
  return { min: Math.min(...values) / room, max: Math.max(...values) * room };
}

/** An end that the runs do not set lies at the panel's edge. */
function interval(
  { target, criticalBatchSizeLow, criticalBatchSizeHigh }: SweepTarget,
  range: LogRange,
  theme: Theme,
): PanelDataset {
  return lineDataset(
    [
      { x: target, y: criticalBatchSizeLow ?? range.min },
      { x: target, y: criticalBatchSizeHigh ?? range.max },
    ],
    theme.blue,
  );
}
