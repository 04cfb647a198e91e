import { confidence } from "./confidence.ts";
import { counterIndex } from "./counter-random.ts";
import type { CurveFit, FrontierCurve } from "./frontier-curve.ts";
import type { FrontierIntervals, LogInterval } from "./frontier-interval.ts";

/** Quantiles are order statistics: the 50th and the 1950th. */
const replicates = 1999;

/**
 * Bootstrap intervals of a sweep with several seeds: seeds are drawn again within each batch size, the curve is fitted
 * again, and the intervals are the quantiles of what comes out. A replicate without an asymptote counts as infinite.
 *
 * Few seeds vary too little among themselves: the mean of n drawn ones has (n − 1)/n of the variance of a mean of n seeds.
 * Their deviations are therefore stretched by √(n/(n − 1)), and by `stretch` for what else is known of them.
 * Source: Davison and Hinkley 1997, Bootstrap methods and their application, sections 2.5 and 6.2.
 * @param logSteps - ln S of the seeds of each batch size, at least two each
 */
export function bootstrapIntervals(
  curve: FrontierCurve,
  logSteps: readonly (readonly number[])[],
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
  return {
    logMinSteps: quantiles(fits.map(({ logMinSteps }) => logMinSteps)),
    logMinUnits: quantiles(fits.map(({ logMinUnits }) => logMinUnits)),
    logCriticalBatchSize: quantiles(fits.map(({ logCriticalBatchSize }) => logCriticalBatchSize)),
  };
}

function quantiles(values: readonly number[]): LogInterval {
  const sorted = Float64Array.from(values).sort();
  const tail = Math.round(((1 - confidence) / 2) * (replicates + 1));
  return { low: sorted[tail - 1] ?? Number.NaN, high: sorted[replicates - tail] ?? Number.NaN };
}
