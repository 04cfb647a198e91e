import { confidence, confidenceQuantile } from "./confidence.ts";
import { counterIndex } from "./counter-random.ts";
import type { CurveFit, FrontierCurve } from "./frontier-curve.ts";
import type { FrontierIntervals, LogInterval } from "./frontier-interval.ts";

/** Quantiles are order statistics: the 50th and the 1950th. */
const replicates = 1999;
/** Two-sided quantile of the normal distribution at the confidence of .95. */
const normalQuantile = 1.959963984540054;

/**
 * Bootstrap intervals of a sweep with several seeds: seeds are drawn again within each batch size, the curve is fitted
 * again, and the intervals are the quantiles of what comes out. A replicate without an asymptote counts as infinite.
 *
 * Few seeds vary too little among themselves: the mean of n drawn ones has (n − 1)/n of the variance of a mean of n seeds.
 * Their deviations are therefore stretched by √(n/(n − 1)), and by `stretch` for what else is known of them. And the
 * scatter of few is itself uncertain: the ends lie t/z as far from the fit, with t at the degrees of freedom of those batch
 * sizes that the value rests on (Satterthwaite 1946). E_min of a long sweep rests on its smallest two or three.
 * Source: Davison and Hinkley 1997, Bootstrap methods and their application, sections 2.5 and 6.2.
 * @param logSteps - ln S of the seeds of each batch size, at least two each
 * @param fit - of their means
 */
export function bootstrapIntervals(
  curve: FrontierCurve,
  logSteps: readonly (readonly number[])[],
  fit: CurveFit,
  stretch: number,
): FrontierIntervals {
  const means = logSteps.map((values) => values.reduce((total, value) => total + value, 0) / values.length);
  const fits: CurveFit[] = [];
  let counter = 0;
  for (let replicate = 0; replicate < replicates; replicate += 1) {
    const drawn = logSteps.map((values, i) => {
      const mean = means[i] ?? Number.NaN;
      let deviation = 0;
      for (let draw = 0; draw < values.length; draw += 1) {
        deviation += (values[counterIndex(counter, values.length)] ?? Number.NaN) - mean;
        counter += 1;
      }
      return mean + stretch * Math.sqrt(values.length / (values.length - 1)) * (deviation / values.length);
    });
    fits.push(curve.fit(drawn));
  }
  const { logCriticalBatchSize, logMinSteps } = curve.sensitivities(fit.logCriticalBatchSize);
  const logMinUnits = logMinSteps.map((value, i) => value + (logCriticalBatchSize[i] ?? 0));
  const interval = (value: (fitted: CurveFit) => number, sensitivities: Float64Array): LogInterval => {
    const middle = value(fit);
    const widening = confidenceQuantile(effectiveDegrees(sensitivities, logSteps)) / normalQuantile;
    const { low, high } = quantiles(fits.map(value));
    return { low: middle + widening * (low - middle), high: middle + widening * (high - middle) };
  };
  return {
    logMinSteps: interval((fitted) => fitted.logMinSteps, logMinSteps),
    logMinUnits: interval((fitted) => fitted.logMinUnits, logMinUnits),
    logCriticalBatchSize: interval((fitted) => fitted.logCriticalBatchSize, logCriticalBatchSize),
  };
}

/** Of a variance that is a weighted sum of the batch sizes' own; equal scatter of seeds is assumed in its weights only. */
function effectiveDegrees(sensitivities: Float64Array, logSteps: readonly (readonly number[])[]): number {
  const variances = logSteps.map((values, i) => (sensitivities[i] ?? 0) ** 2 / values.length);
  const total = variances.reduce((sum, variance) => sum + variance, 0);
  return total ** 2 / logSteps.reduce((sum, values, i) => sum + (variances[i] ?? 0) ** 2 / (values.length - 1), 0);
}

function quantiles(values: readonly number[]): LogInterval {
  const sorted = Float64Array.from(values).sort();
  const tail = Math.round(((1 - confidence) / 2) * (replicates + 1));
  return { low: sorted[tail - 1] ?? Number.NaN, high: sorted[replicates - tail] ?? Number.NaN };
}
