import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
  type FormNoiseScale,
  fiellerSet,
  type NoiseScale,
  type Observation,
  type PredictedFrontier,
  type QuadraticFormPair,
  RunEstimator,
  recommendedBatchSize,
  sgdLearningRateFactor,
  studentTQuantile,
} from "../src/index.ts";
import { mixtureQuantile, normalDistribution } from "../src/normal-mixture.ts";

// Made by test/oracle/make_reference.py: numpy and scipy, from the equations, sharing nothing with these sources.
const reference = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../../../test/oracle/reference/${name}.json`, import.meta.url), "utf8"));

/** The references hold 12 digits; up to 400 steps of rounding in either implementation come on top. */
const tolerance = 1e-8;

function expectClose(actual: number | undefined, expected: number | null, what: string): void {
  if (expected === null) {
    expect(actual, what).toBeUndefined();
    return;
  }
  expect(actual, what).toBeTypeOf("number");
  const off = Math.abs(Number(actual) - expected);
  expect(off, `${what}: ${actual} against ${expected}`).toBeLessThanOrEqual(tolerance * Math.abs(expected));
}

interface ReferenceScale {
  readonly b_simple: number | null;
  readonly b_simple_low: number | null;
  readonly b_simple_high: number | null;
  readonly invalid?: boolean;
  readonly gradient_squared_norm: number;
  readonly covariance_trace: number;
}

interface ReferenceAverage extends ReferenceScale {
  readonly invalid: boolean;
  readonly effective_measurements: number;
  readonly covariance_trace_share: number;
}

type StepsAndUnits = readonly [minSteps: number, minUnits: number];
type Bound = "low" | "middle" | "high";
type ReferenceFormScale = readonly [value: number | null, low: number | null, high: number | null];

interface ReferenceForm {
  readonly small: readonly [batchSize: number, value: number];
  readonly big: readonly [batchSize: number, value: number];
}

interface ReferenceRun {
  readonly dataset_units: number | null;
  readonly measurements: readonly {
    readonly step: number;
    readonly units: number;
    readonly small: readonly [number, number];
    readonly big: readonly [number, number];
    readonly layers?: Readonly<Record<string, readonly [number, number]>>;
    readonly hessian?: ReferenceForm;
    readonly preconditioned?: ReferenceForm;
  }[];
  readonly expected: readonly {
    readonly measurements: number;
    readonly horizons: Readonly<Record<string, ReferenceAverage>>;
    readonly layers?: Readonly<Record<string, ReferenceAverage>>;
    readonly headline?: ReferenceScale;
    readonly outliers?: number;
    readonly held_b_simple?: number | null;
    readonly adaptive_gain?: number | null;
    readonly predicted_min_steps_and_min_units?: Readonly<Record<Bound, StepsAndUnits>>;
    readonly predicted_basis?: string;
    readonly b_noise?: ReferenceFormScale;
    readonly b_preconditioned?: ReferenceFormScale;
  }[];
}

function expectScale(actual: NoiseScale, expected: ReferenceScale, what: string): void {
  expectClose(actual.bSimple, expected.b_simple, `${what} b_simple`);
  expectClose(actual.bSimpleLow, expected.b_simple_low, `${what} b_simple_low`);
  expectClose(actual.bSimpleHigh, expected.b_simple_high, `${what} b_simple_high`);
  expect(actual.identifiable, `${what} identifiable`).toBe(expected.b_simple !== null);
  if (expected.invalid !== undefined) expect(actual.invalid, `${what} invalid`).toBe(expected.invalid);
}

function expectMeans(actual: NoiseScale, expected: ReferenceScale, what: string): void {
  expectClose(actual.gradientSquaredNorm, expected.gradient_squared_norm, `${what} |G|²`);
  expectClose(actual.covarianceTrace, expected.covariance_trace, `${what} tr Σ`);
}

function formOf(form: ReferenceForm | undefined): QuadraticFormPair | undefined {
  if (form === undefined) return undefined;
  const [smallBatchSize, smallValue] = form.small;
  const [bigBatchSize, bigValue] = form.big;
  return {
    small: { batchSize: smallBatchSize, value: smallValue },
    big: { batchSize: bigBatchSize, value: bigValue },
  };
}

function expectFormScale(actual: FormNoiseScale, expected: ReferenceFormScale | undefined, what: string): void {
  const [value, low, high] = expected ?? [null, null, null];
  expectClose(actual.value, value, what);
  expectClose(actual.low, low, `${what} low`);
  expectClose(actual.high, high, `${what} high`);
}

function expectPredicted(
  actual: PredictedFrontier,
  { low, middle, high }: Readonly<Record<Bound, StepsAndUnits>>,
): void {
  expectClose(actual.minStepsLow, low[0], "min_steps_low");
  expectClose(actual.minSteps, middle[0], "min_steps");
  expectClose(actual.minStepsHigh, high[0], "min_steps_high");
  expectClose(actual.minUnitsLow, high[1], "min_units_low");
  expectClose(actual.minUnits, middle[1], "min_units");
  expectClose(actual.minUnitsHigh, low[1], "min_units_high");
  expectClose(actual.criticalBatchSize, middle[1] / middle[0], "critical_batch_size");
  expectClose(actual.criticalBatchSizeLow, high[1] / high[0], "critical_batch_size_low");
  expectClose(actual.criticalBatchSizeHigh, low[0] > 0 ? low[1] / low[0] : null, "critical_batch_size_high");
}

describe("an independent implementation in numpy and scipy", () => {
  it.each([
    "growing",
    "changing-batch-with-layers",
    "signal-below-noise",
    "correlated-with-heavy-tails",
    "outliers",
    "measured-ever-less",
    "with-forms-now-and-then",
    "with-turning-curvature",
  ])("finds the same headline, horizons, layers, forms and frontier in the run %s", (name) => {
    const run = reference(`run-${name}`) as ReferenceRun;
    const estimator = new RunEstimator({ datasetUnits: run.dataset_units ?? undefined });
    const checkpoints = new Map(run.expected.map((expected) => [expected.measurements, expected]));
    run.measurements.forEach(({ step, units, small, big, layers, hessian, preconditioned }, index) => {
      const observation: Observation = {
        step,
        units,
        small: { batchSize: small[0], meanSquaredNorm: small[1] },
        big: { batchSize: big[0], squaredNorm: big[1] },
        layers: layers === undefined ? undefined : new Map(Object.entries(layers)),
        hessian: formOf(hessian),
        preconditioned: formOf(preconditioned),
      };
      const point = estimator.add(observation);
      const expected = checkpoints.get(index + 1);
      if (expected === undefined) return;
      const estimate = estimator.estimate();
      for (const horizon of estimate.horizons) {
        const average = expected.horizons[horizon.horizon];
        if (average === undefined) throw new Error(`no horizon ${horizon.horizon}`);
        const what = `${name} ${index + 1}, horizon ${horizon.horizon}`;
        expectScale(horizon, average, what);
        expectClose(horizon.effectiveMeasurements, average.effective_measurements, what);
        if (index >= 2) expectMeans(horizon, average, what);
      }
      expect([...estimate.layers.keys()].sort()).toEqual(Object.keys(expected.layers ?? {}).sort());
      for (const [layer, average] of Object.entries(expected.layers ?? {})) {
        const actual = estimate.layers.get(layer);
        if (actual === undefined) throw new Error(`no layer ${layer}`);
        expectScale(actual, average, `${name} ${index + 1}, layer ${layer}`);
        if (index < 2) continue;
        expectMeans(actual, average, `${name} ${index + 1}, layer ${layer}`);
        expectClose(actual.covarianceTraceShare, average.covariance_trace_share, `share of ${layer}`);
      }
      const { headline, predicted_min_steps_and_min_units: predicted } = expected;
      if (headline === undefined || predicted === undefined) {
        expect(estimate.missingMeasurements).toBe(20 - (index + 1) + estimate.outliers);
        return;
      }
      expect(estimate.outliers).toBe(expected.outliers);
      expectClose(point.heldBSimple, expected.held_b_simple ?? null, `${name} ${index + 1}, held_b_simple`);
      for (const answer of [estimate, point]) {
        expectScale(answer, headline, `${name} ${index + 1}, headline`);
        expectMeans(answer, headline, `${name} ${index + 1}, headline`);
        expectFormScale(answer.bNoise, expected.b_noise, `${name} ${index + 1}, b_noise`);
        expectFormScale(answer.bPreconditioned, expected.b_preconditioned, `${name} ${index + 1}, b_preconditioned`);
      }
      expect(estimate.predicted.basis).toBe(expected.predicted_basis);
      expectPredicted(estimate.predicted, predicted);
      expectClose(estimate.predicted.adaptiveGain, expected.adaptive_gain ?? null, "adaptive_gain");
    });
  });

  it("finds the same confidence sets of a ratio, of every kind", () => {
    const kinds = new Set<string>();
    for (const { means, covariance, quantile, pieces } of reference("fieller") as {
      readonly means: readonly [number, number];
      readonly covariance: readonly [number, number, number];
      readonly quantile: number;
      readonly pieces: readonly (readonly [number | null, number | null])[];
    }[]) {
      const [numerator, denominator] = means;
      const [numeratorVariance, shared, denominatorVariance] = covariance;
      const set = fiellerSet(
        { numerator, denominator, numeratorVariance, denominatorVariance, covariance: shared },
        quantile,
      );
      kinds.add(set.kind);
      const [first, second] = pieces;
      if (set.kind === "interval") {
        expect(pieces).toHaveLength(1);
        expectClose(set.low, first?.[0] ?? null, "low");
        expectClose(set.high, first?.[1] ?? null, "high");
      } else if (set.kind === "outside") {
        expect(pieces).toHaveLength(2);
        expectClose(set.below, first?.[1] ?? null, "below");
        expectClose(set.above, second?.[0] ?? null, "above");
      } else {
        expect(pieces).toEqual([[null, null]]);
      }
    }
    expect(kinds).toEqual(new Set(["interval", "outside", "line"]));
  });

  it("finds the same quantiles of Student's t, of the normal and of mixtures of normals", () => {
    const { student_t, normal, normal_mixtures } = reference("distributions") as {
      readonly student_t: readonly (readonly [number, number, number])[];
      readonly normal: readonly (readonly [number, number])[];
      readonly normal_mixtures: readonly {
        readonly weights: number[];
        readonly means: number[];
        readonly deviations: number[];
        readonly quantiles: readonly number[];
      }[];
    };
    for (const [probability, degrees, quantile] of student_t) {
      expectClose(studentTQuantile(probability, degrees), quantile, `t ${probability} ${degrees}`);
      expectClose(studentTQuantile(1 - probability, degrees), -quantile, `t ${1 - probability} ${degrees}`);
    }
    for (const [z, probability] of normal) expectClose(normalDistribution(z), probability, `normal ${z}`);
    for (const { weights, means, deviations, quantiles } of normal_mixtures) {
      [0.025, 0.5, 0.975].forEach((probability, index) => {
        for (const start of [-1000, 0, 1, Number.NaN]) {
          const found = mixtureQuantile(
            Float64Array.from(weights),
            Float64Array.from(means),
            Float64Array.from(deviations),
            probability,
            start,
          );
          expectClose(found, quantiles[index] ?? null, `mixture ${probability} from ${start}`);
        }
      });
    }
  });

  it("finds the same recommended batch sizes by trying every multiple, and the same learning rates for them", () => {
    for (const row of reference("recommendations") as {
      readonly noise_scale: number;
      readonly latency_ratio: number | null;
      readonly batch_multiple: number;
      readonly batch_min: number | null;
      readonly batch_max: number | null;
      readonly batch_size: number;
      readonly sgd_factor_from_128: number;
    }[]) {
      const batchSize = recommendedBatchSize(row.noise_scale, {
        latencyRatio: row.latency_ratio ?? undefined,
        batchMultiple: row.batch_multiple,
        batchMin: row.batch_min ?? undefined,
        batchMax: row.batch_max ?? undefined,
      });
      expectClose(batchSize, row.batch_size, JSON.stringify(row));
      expectClose(sgdLearningRateFactor(128, batchSize, row.noise_scale), row.sgd_factor_from_128, JSON.stringify(row));
    }
  });
});
