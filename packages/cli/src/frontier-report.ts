import { panelsOfSweep, type SweepData, sweepHeadline, sweepPanels } from "@noisescale/charts";
import { drawsPictures } from "@noisescale/charts/draws-pictures";
import type { TrackerSweep } from "./tracker-sweep.ts";

/**
 * A fitted frontier as the tracker shows it: its numbers at the last target, panels as page and pictures, a note.
 *
 * @param pixelRatio - pixels of a picture a CSS pixel
 */
export async function showFrontier(
  sweep: TrackerSweep,
  target: string,
  data: SweepData,
  pixelRatio: number = 2,
): Promise<string> {
  const { renderSweepHtml } = await import("@noisescale/charts/html");
  const last = data.targets.at(-1);
  const { sentence, basis } = sweepHeadline(data);
  const moment = { step: 0, timeMs: Date.now() };
  const numbers = Object.entries({
    critical_batch_size: last?.criticalBatchSize,
    critical_batch_size_low: last?.criticalBatchSizeLow,
    critical_batch_size_high: last?.criticalBatchSizeHigh,
    min_steps: last?.minSteps,
    min_units: last?.minUnits,
  });
  return sweep.show(target, {
    name: `noise scale: frontier ${target}`,
    note: `**${sentence}**\n\n${basis}`,
    metrics: numbers.flatMap(([name, value]) =>
      value === undefined ? [] : [{ key: `noise_scale/fitted/${name}`, value }],
    ),
    panels: [
      {
        panel: "frontier",
        title: data.name,
        contentType: "text/html",
        bytes: new TextEncoder().encode(renderSweepHtml(data)),
        ...moment,
      },
      ...(await pictures(data, pixelRatio)).map((picture) => ({ ...picture, ...moment })),
    ],
  });
}

async function pictures(data: SweepData, pixelRatio: number) {
  if (!drawsPictures) return [];
  const { renderSweepPng } = await import("@noisescale/charts/png");
  return panelsOfSweep(data).map((panel) => ({
    panel,
    title: sweepPanels[panel].title,
    contentType: "image/png" as const,
    bytes: renderSweepPng(panel, data, { pixelRatio }),
  }));
}
