import { metricKey, type Point } from "@noisescale/tracker";
import { bytesField, message } from "./protobuf.ts";

/**
 * The tags of the margin chart. They repeat B_simple and its bounds, but only at steps where all three are known: the
 * chart shows an error instead of a band as soon as the steps of its three tags differ, and B_simple's lower bound is
 * known long before the others.
 */
const bandTag = {
  value: "noise_scale_band/b_simple",
  low: "noise_scale_band/b_simple_low",
  high: "noise_scale_band/b_simple_high",
} as const;

/** The points of the margin chart: those of B_simple and its bounds at the steps that have all three. */
export function bandPoints(points: readonly Point[]): Point[] {
  const known = new Map<number, Map<string, Point>>();
  for (const point of points) {
    const atStep = known.get(point.step) ?? new Map<string, Point>();
    known.set(point.step, atStep.set(point.key, point));
  }
  return [...known.values()].flatMap((atStep) => {
    const value = atStep.get(metricKey.bSimple);
    const low = atStep.get(metricKey.bSimpleLow);
    const high = atStep.get(metricKey.bSimpleHigh);
    if (value === undefined || low === undefined || high === undefined) return [];
    return [
      { ...value, key: bandTag.value },
      { ...low, key: bandTag.low },
      { ...high, key: bandTag.high },
    ];
  });
}

/**
 * A serialised `tensorboard.Layout` (plugins/custom_scalar/layout.proto). The band has a category of its own: within one,
 * TensorBoard shows margin charts last.
 */
export function customScalarsLayout(): Uint8Array {
  const band = message(bytesField(1, bandTag.value), bytesField(2, bandTag.low), bytesField(3, bandTag.high));
  const bandChart = message(bytesField(1, "B_simple and its confidence band"), bytesField(3, bytesField(1, band)));
  return message(
    category("Noise scale", bytesField(2, bandChart)),
    category(
      "Batch size, signal and noise",
      linesChart("Batch size: in use and recommended", [metricKey.batchSize, metricKey.recommendedBatchSize]),
      // The last two where they are measured.
      linesChart("Noise scales: B_simple, B_noise, Adam's", [
        metricKey.bSimple,
        metricKey.bNoise,
        metricKey.bPreconditioned,
      ]),
      linesChart("Signal: squared norm of the gradient", [metricKey.gradientSquaredNorm]),
      linesChart("Noise: trace of the covariance", [metricKey.covarianceTrace]),
      linesChart("Efficiency: useful share of the compute", [metricKey.efficiency]),
    ),
  );
}

function category(title: string, ...charts: readonly Uint8Array[]): Uint8Array {
  return bytesField(2, message(bytesField(1, title), ...charts));
}

function linesChart(title: string, tags: readonly string[]): Uint8Array {
  const lines = message(...tags.map((tag) => bytesField(1, `^${escaped(tag)}$`)));
  return bytesField(2, message(bytesField(1, title), bytesField(2, lines)));
}

/** A tag as a regular expression that matches nothing else. */
function escaped(tag: string): string {
  return tag.replaceAll(/[^A-Za-z0-9_/]/g, "\\$&");
}
