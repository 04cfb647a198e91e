import type { QuadraticFormPair, SquaredNormPair } from "@noisescale/statistics";
import { seededUniform } from "../../packages/statistics/test/simulated-run.ts";

/** How a run's measurements scatter. */
export type Scatter = "normal" | "lognormal" | "student-t-3" | "ar-1";

export interface StationaryRun {
  readonly seed: number;
  readonly measurements: number;
  /** tr Σ/|G|²; tr Σ is 1. */
  readonly bSimple: number;
  readonly batchSize: number;
  readonly parts: number;
  /**
   * `lognormal`: |G|² × exp(.7z) anew each step. `student-t-3`: each coordinate of each part's noise has 3 degrees. `ar-1`:
   * each coordinate of each part's noise is .8 of that of the step before and .6 of a new one.
   */
  readonly scatter: Scatter;
}

/** Dimensions in which the noise lies: as many equal ones as 200 with variances ∝ 1/i are worth. */
const dimensions = 21;

/** Two squared norms a step of a run whose noise scale does not change. */
export function* stationarySquares(run: StationaryRun): Generator<SquaredNormPair> {
  const { seed, measurements, bSimple, batchSize, parts, scatter } = run;
  const uniform = seededUniform(seed);
  const next = squaresOf[scatter](run, uniform);
  const signal = scatter === "lognormal" ? lognormal(uniform, 1 / bSimple) : () => 1 / bSimple;
  for (let i = 0; i < measurements; i += 1) {
    const { small, big } = next(signal());
    yield {
      small: { batchSize: batchSize / parts, meanSquaredNorm: small },
      big: { batchSize, squaredNorm: big },
    };
  }
}

/**
 * The same of a run under normal noise whose hook measures gᵀHg on the halves of a batch too, with every so manyth measurement.
 * H has the eigenvalues 1/i, and G as much in each direction, so that B_noise is B_simple.
 */
export function* stationaryForms({
  every,
  ...run
}: Omit<StationaryRun, "scatter"> & { readonly every: number }): Generator<
  SquaredNormPair & { readonly hessian?: QuadraticFormPair }
> {
  const { seed, measurements, bSimple, batchSize, parts } = run;
  const uniform = seededUniform(seed);
  const normal = seededNormal(uniform);
  const variance = 1 / batchSize / dimensions;
  const deviation = Math.sqrt(variance);
  const each = Math.sqrt(1 / bSimple / dimensions);
  const within = seededGamma(normal, uniform, (dimensions * (parts - 2)) / 2);
  for (let i = 0; i < measurements; i += 1) {
    const mean = { square: 0, form: 0 };
    const difference = { square: 0, form: 0 };
    for (let direction = 1; direction <= dimensions; direction += 1) {
      const ofMean = (each + deviation * normal()) ** 2;
      const ofDifference = variance * normal() ** 2;
      mean.square += ofMean;
      mean.form += ofMean / direction;
      difference.square += ofDifference;
      difference.form += ofDifference / direction;
    }
    const small = mean.square + difference.square + variance * 2 * within();
    yield {
      small: { batchSize: batchSize / parts, meanSquaredNorm: small },
      big: { batchSize, squaredNorm: mean.square },
      ...(i % every === 0
        ? {
            hessian: {
              small: { batchSize: batchSize / 2, value: mean.form + difference.form },
              big: { batchSize, value: mean.form },
            },
          }
        : {}),
    };
  }
}

type Squares = (signal: number) => { readonly small: number; readonly big: number };

/** Normal noise as the chi-squares that its squares are: those of the mean and those of the parts around it. */
function normalSquares({ batchSize, parts }: StationaryRun, uniform: () => number): Squares {
  const normal = seededNormal(uniform);
  const variance = 1 / batchSize / dimensions;
  const across = seededGamma(normal, uniform, (dimensions - 1) / 2);
  const within = seededGamma(normal, uniform, (dimensions * (parts - 1)) / 2);
  return (signal) => {
    const along = Math.sqrt(signal) + Math.sqrt(variance) * normal();
    const big = along * along + variance * 2 * across();
    return { big, small: big + variance * 2 * within() };
  };
}

/** Rotated, the parts' noise is that of their mean and parts − 1 independent ones around it: an AR(1) like each part's. */
function correlatedSquares({ batchSize, parts }: StationaryRun, uniform: () => number): Squares {
  const normal = seededNormal(uniform);
  const variance = 1 / batchSize / dimensions;
  const noise = Float64Array.from({ length: dimensions * parts }, normal);
  return (signal) => {
    let across = 0;
    let within = 0;
    for (let i = 0; i < noise.length; i += 1) {
      const value = 0.8 * (noise[i] as number) + 0.6 * normal();
      noise[i] = value;
      if (i === 0) across += (Math.sqrt(signal / variance) + value) ** 2;
      else if (i < dimensions) across += value * value;
      else within += value * value;
    }
    return { big: variance * across, small: variance * (across + within) };
  };
}

function studentSquares({ batchSize, parts }: StationaryRun, uniform: () => number): Squares {
  const deviation = Math.sqrt(parts / batchSize / dimensions / 3);
  const mean = new Float64Array(dimensions);
  return (signal) => {
    mean.fill(0);
    let small = 0;
    for (let part = 0; part < parts; part += 1) {
      for (let i = 0; i < dimensions; i += 1) {
        const value = (i === 0 ? Math.sqrt(signal) : 0) + deviation * studentT3(uniform);
        mean[i] = (mean[i] as number) + value / parts;
        small += (value * value) / parts;
      }
    }
    return { small, big: mean.reduce((sum, value) => sum + value * value, 0) };
  };
}

const squaresOf: Readonly<Record<Scatter, (run: StationaryRun, uniform: () => number) => Squares>> = {
  normal: normalSquares,
  lognormal: normalSquares,
  "student-t-3": studentSquares,
  "ar-1": correlatedSquares,
};

function lognormal(uniform: () => number, scale: number): () => number {
  const normal = seededNormal(uniform);
  // The mean of |G|² stays what it is.
  return () => scale * Math.exp(0.7 * normal() - 0.7 ** 2 / 2);
}

/** A point in the unit disc: its first coordinate and its squared distance from the middle. */
function inDisc(uniform: () => number): readonly [across: number, square: number] {
  for (;;) {
    const across = 2 * uniform() - 1;
    const up = 2 * uniform() - 1;
    const square = across * across + up * up;
    if (square > 0 && square < 1) return [across, square];
  }
}

/** Marsaglia's polar method. */
function seededNormal(uniform: () => number): () => number {
  return () => {
    const [across, square] = inDisc(uniform);
    return across * Math.sqrt((-2 * Math.log(square)) / square);
  };
}

/** Student's t with 3 degrees by Bailey's polar method (1994). */
function studentT3(uniform: () => number): number {
  const [across, square] = inDisc(uniform);
  return across * Math.sqrt((3 * (Math.cbrt(square) ** -2 - 1)) / square);
}

/** Gamma numbers of a shape ≥ 1 by Marsaglia and Tsang's method (2000). */
function seededGamma(normal: () => number, uniform: () => number, shape: number): () => number {
  const d = shape - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  return () => {
    for (;;) {
      const z = normal();
      const v = (1 + c * z) ** 3;
      if (v > 0 && Math.log(uniform()) < 0.5 * z * z + d - d * v + d * Math.log(v)) return d * v;
    }
  };
}
