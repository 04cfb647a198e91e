import { expect, test } from "vitest";
import { RunEstimator } from "../src/index.ts";
import { meanGradient, seededNormal, seededUniform, squaredNorm } from "./simulated-run.ts";

const units = 96;
const dimensions = 24;
const batchSize = 32;
const parts = 4;

/** One gradient a unit; their mean is the data set's own gradient. */
function dataSet(): Float64Array[] {
  const normal = seededNormal(31);
  return Array.from({ length: units }, () => Float64Array.from({ length: dimensions }, () => 0.14 + normal()));
}

/** Covariance about the data set's mean, with N − 1: what one unit's gradient varies by. */
function covarianceTrace(gradients: readonly Float64Array[]): number {
  const mean = meanGradient(gradients);
  const squares = gradients.map((gradient) => squaredNorm(gradient.map((value, i) => value - (mean[i] ?? 0))));
  return squares.reduce((total, value) => total + value, 0) / (gradients.length - 1);
}

/** Batches drawn without replacement, in parts that share no unit (Fisher and Yates). */
function* draws(gradients: readonly Float64Array[], steps: number) {
  const uniform = seededUniform(32);
  const order = [...gradients];
  for (let step = 0; step < steps; step += 1) {
    for (let i = 0; i < batchSize; i += 1) {
      const j = i + Math.floor(uniform() * (order.length - i));
      [order[i], order[j]] = [order[j] as Float64Array, order[i] as Float64Array];
    }
    const size = batchSize / parts;
    const means = Array.from({ length: parts }, (_, part) => meanGradient(order.slice(part * size, (part + 1) * size)));
    yield {
      step,
      units: batchSize,
      small: {
        batchSize: size,
        meanSquaredNorm: means.reduce((total, mean) => total + squaredNorm(mean), 0) / parts,
      },
      big: { batchSize, squaredNorm: squaredNorm(meanGradient(means)) },
    };
  }
}

test("a data set that is drawn without replacement: its own gradient and noise are found where its size is stated, and no others", () => {
  const gradients = dataSet();
  const signal = squaredNorm(meanGradient(gradients));
  const noise = covarianceTrace(gradients);
  // Not stated, the noise that a batch of the whole set would not have is taken from the signal.
  const withoutSize = signal - noise / units;
  expect(noise / withoutSize / (noise / signal)).toBeGreaterThan(1.5);
  const fold = (datasetUnits: number | undefined) => {
    const estimator = new RunEstimator({ datasetUnits });
    for (const draw of draws(gradients, 3000)) estimator.add(draw);
    return estimator.estimate();
  };
  const [stated, unstated] = [fold(units), fold(undefined)];
  expect(stated.bSimpleLow).toBeLessThan(noise / signal);
  expect(stated.bSimpleHigh).toBeGreaterThan(noise / signal);
  // A twentieth: three standard errors of the mean of 3000 draws, each with a relative error of about 1.
  expect(Math.abs((stated.bSimple ?? 0) / (noise / signal) - 1)).toBeLessThan(0.05);
  expect(Math.abs((unstated.bSimple ?? 0) / (noise / withoutSize) - 1)).toBeLessThan(0.1);
  expect(unstated.bSimpleLow).toBeGreaterThan(noise / signal);
});
