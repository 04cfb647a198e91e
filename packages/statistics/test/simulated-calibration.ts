import { type CalibrationRun, calibrate, fitFrontier, recommendationBasis } from "../src/index.ts";
import { seededNormal } from "./simulated-run.ts";

/** A sweep whose runs all go the same way: 𝓑 grows e-fold along it, and B_simple is 𝓑/ratio. */
export interface CalibrationSweep {
  readonly seed: number;
  readonly batchSizes: readonly number[];
  readonly seeds: number;
  /** B_crit/B_simple. */
  readonly ratio: number;
  /** Standard deviation of ln steps from run to run. */
  readonly stepDeviation: number;
  /** Standard deviation of ln B_simple between batch sizes, for good. */
  readonly batchSizeDeviation: number;
  /** Standard deviation of the errors of ln B_simple of a run as it is measured. */
  readonly errorDeviation: number;
}

const minSteps = 60;
const firstNoiseScale = 100;
const growth = 1.5;

const noiseScaleAt = (progress: number): number => firstNoiseScale * Math.exp((growth * progress) / minSteps);
/** Mean of 𝓑 over the least steps: E_min/S_min. */
export const criticalBatchSize = (firstNoiseScale * (Math.exp(growth) - 1)) / growth;

/** Steps of a run along the way, each 1/(1 + 𝓑/B) of a least step; the last one in part. */
export function runOf(batchSize: number, bSimpleOver: number, slowness: number): CalibrationRun {
  const steps: number[] = [];
  const inverse: number[] = [];
  for (let progress = 0; progress < minSteps; ) {
    const noiseScale = noiseScaleAt(progress);
    const gain = 1 / (1 + noiseScale / batchSize) / slowness;
    const part = Math.min(1, (minSteps - progress) / gain);
    steps.push(part);
    inverse.push(bSimpleOver / noiseScale);
    progress += gain;
  }
  return { batchSize, steps: Float64Array.from(steps), inverseNoiseScale: Float64Array.from(inverse) };
}

/**
 * Makes a sweep, its frontier and calibration, then a further run of the project at a batch size of its own.
 *
 * @returns whether that run's interval holds its true 𝓑, and the interval's width; undefined where the sweep gives none
 */
export function calibratedRun(
  sweep: CalibrationSweep,
): { readonly held: boolean; readonly logWidth: number } | undefined {
  const normal = seededNormal(sweep.seed);
  const runs = sweep.batchSizes.flatMap((batchSize) => {
    const own = sweep.batchSizeDeviation * normal();
    return Array.from({ length: sweep.seeds }, () => {
      const error = sweep.errorDeviation * normal();
      return runOf(batchSize, sweep.ratio * Math.exp(own + error), Math.exp(sweep.stepDeviation * normal()));
    });
  });
  const fitted = fitFrontier(
    runs.map(({ batchSize, steps }) => ({ batchSize, steps: steps.reduce((total, step) => total + step, 0) })),
  );
  if (!fitted.fitted) return undefined;
  const calibration = calibrate(runs, fitted);
  if (!calibration.calibrated) return undefined;
  const noiseScale = noiseScaleAt(minSteps / 2);
  const own = Math.exp(sweep.batchSizeDeviation * normal());
  const bSimple = (noiseScale / sweep.ratio / own) * Math.exp(sweep.errorDeviation * normal());
  const half = Math.exp(1.96 * sweep.errorDeviation);
  const { low = 0, high = Number.POSITIVE_INFINITY } = recommendationBasis(
    {
      bSimple: { value: bSimple, low: bSimple / half, high: bSimple * half },
      bNoise: { value: undefined, low: undefined, high: undefined },
      heldBSimple: bSimple,
      heldBNoise: undefined,
      bNoiseKnownLately: false,
      smoothedLoss: undefined,
    },
    { calibration },
  );
  return { held: low <= noiseScale && noiseScale <= high, logWidth: Math.log(high / low) };
}
