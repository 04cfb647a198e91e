import { logRange } from "../log-axis.ts";
import { estimateText } from "../number-text.ts";
import { unitWords } from "../panel-data.ts";
import { lineDataset, type PanelConfiguration, type PanelDataset, panelFrame } from "../panel-frame.ts";
import type { SweepData, SweepTarget } from "../sweep-data.ts";
import type { Theme } from "../theme.ts";

/** Panel 6 of a sweep: the critical batch size of each target with its interval, and the power law through them. */
export function criticalBatchSizePanel({ targets, unit, powerLaw }: SweepData, theme: Theme): PanelConfiguration {
  const losses = targets.map(({ target }) => target);
  const sizes = targets.flatMap((target) => [
    target.criticalBatchSize,
    target.criticalBatchSizeLow,
    target.criticalBatchSizeHigh,
  ]);
  const y = logRange(sizes, { min: 10, max: 10_000 });
  const x = logRange(losses, { min: 0.1, max: 10 });
  const law = (loss: number): number =>
    powerLaw.fitted ? powerLaw.criticalBatchSizeAtOne / loss ** (1 / powerLaw.alpha) : Number.NaN;
  const lawEnds = [Math.min(...losses), Math.max(...losses)].map((loss) => ({ x: loss, y: law(loss) }));
  const place = lawEnds[0] ?? { x: x.min, y: y.max };
  return panelFrame(theme, {
    datasets: [
      ...targets.map((target) => dot(target, theme)),
      ...targets.map((target) => interval(target, y, theme)),
      ...(powerLaw.fitted ? [lineDataset(lawEnds, theme.orange, { borderDash: [6, 4] })] : []),
    ],
    x: losses.every((loss) => loss > 0)
      ? { kind: "log", title: "target loss", range: x }
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

/** An end that the runs do not set lies at the panel's edge. */
function interval(
  { target, criticalBatchSizeLow, criticalBatchSizeHigh }: SweepTarget,
  range: { readonly min: number; readonly max: number },
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
