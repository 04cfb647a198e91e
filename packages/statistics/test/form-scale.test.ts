import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FormScale } from "../src/form-scale.ts";
import {
  FrontierPrediction,
  formEstimates,
  Horizon,
  type Observation,
  type QuadraticFormPair,
  RunEstimator,
} from "../src/index.ts";
import { formObservations, quadraticForm, type SimulatedForms, trueScale } from "./simulated-forms.ts";
import { mean, meanGradient, seededNormal } from "./simulated-run.ts";

const dimensions = 40;
const each = <Value>(value: (i: number) => Value): Value[] => Array.from({ length: dimensions }, (_, i) => value(i));

/** H has large, small and negative eigenvalues; noise and signal lie along the large ones. */
const curvature = each((i) => 1 / (i + 1) - 0.03);
const run: SimulatedForms = {
  seed: 5,
  steps: 600,
  hessian: () => curvature,
  preconditioner: each((i) => 1 / (0.1 + 1 / (i + 1))),
  variances: each((i) => 1 / (i + 1)),
  gradient: () => each((i) => 0.12 / (i + 1)),
};
const observations = formObservations(run);

function fold(some: readonly Observation[], settings = {}): RunEstimator {
  const estimator = new RunEstimator(settings);
  for (const observation of some) estimator.add(observation);
  return estimator;
}

/** The Hessian's values only where they are wanted. */
function hessianAt(wanted: (index: number) => boolean): Observation[] {
  return observations.map((observation, index) => ({
    ...observation,
    hessian: wanted(index) ? observation.hessian : undefined,
  }));
}

describe("the estimates of a quadratic form", () => {
  // A quadratic loss ½(θ − a)ᵀH(θ − a) over a data set of points a: g = H(θ − a), all of it known.
  const normal = seededNormal(9);
  const data = Array.from({ length: 7 }, () => Float64Array.from([2, -0.5, 0.1], (h) => h * (0.4 + normal())));
  const h = [2, -0.5, 0.1];
  const center = meanGradient(data);
  const away = data.map((gradient) => gradient.map((value, i) => value - (center[i] ?? 0)));
  const q = (gradient: Float64Array) => quadraticForm(h, gradient);

  test("are GᵀHG and tr(HΣ) exactly over all pairs of examples that can be drawn with replacement", () => {
    const pairs = data.flatMap((one) => data.map((other) => [one, other]));
    const pair: QuadraticFormPair = {
      small: { batchSize: 1, value: mean(data.map(q)) },
      big: { batchSize: 2, value: mean(pairs.map((both) => q(meanGradient(both)))) },
    };
    const { gradientSquaredNorm, covarianceTrace } = formEstimates(pair, "signed", undefined, "hessian");
    // Exact up to rounding of doubles.
    expect(gradientSquaredNorm).toBeCloseTo(q(center), 12);
    expect(covarianceTrace).toBeCloseTo(mean(away.map(q)), 12);
  });

  test("drawn without replacement lack tr(HΣ)/N of GᵀHG, which dataset_units adds: the target is the data set's own", () => {
    const n = data.length;
    const pairs = data.flatMap((one, i) => data.slice(i + 1).map((other) => [one, other]));
    const pair: QuadraticFormPair = {
      small: { batchSize: 1, value: mean(data.map(q)) },
      big: { batchSize: 2, value: mean(pairs.map((both) => q(meanGradient(both)))) },
    };
    const trace = (mean(away.map(q)) * n) / (n - 1);
    const plain = formEstimates(pair, "signed", undefined, "hessian");
    expect(plain.covarianceTrace).toBeCloseTo(trace, 12);
    expect(plain.gradientSquaredNorm).toBeCloseTo(q(center) - trace / n, 12);
    expect(formEstimates(pair, "signed", n, "hessian").gradientSquaredNorm).toBeCloseTo(q(center), 12);
  });
});

describe("B_noise and the noise scale in the optimizer's metric", () => {
  test("hold the truth in their intervals, each of its own, beside B_simple", () => {
    const { bNoise, bPreconditioned, bSimple, bSimpleLow, bSimpleHigh } = fold(observations).estimate();
    const truths = [
      trueScale(curvature, run).scale,
      trueScale(run.preconditioner, run).scale,
      trueScale(
        each(() => 1),
        run,
      ).scale,
    ];
    const scales = [bNoise, bPreconditioned, { value: bSimple, low: bSimpleLow, high: bSimpleHigh }];
    for (const [i, { value, low, high }] of scales.entries()) {
      const truth = truths[i] ?? Number.NaN;
      expect(low).toBeLessThan(truth);
      expect(high).toBeGreaterThan(truth);
      // Two standard errors of the noisiest, B_noise from halves, are about .25.
      expect(Math.abs(Math.log((value ?? Number.NaN) / truth))).toBeLessThan(0.25);
    }
    // The three are told apart.
    expect(truths[0]).toBeLessThan(0.8 * (truths[2] ?? 0));
    expect(truths[1]).toBeGreaterThan(1.2 * (truths[2] ?? 0));
  });

  test("are unknown where they are not measured, and leave B_simple, horizons and layers as they are", () => {
    const plain = observations.map(({ hessian: _, preconditioned: __, ...rest }) => rest);
    const without = fold(plain).estimate();
    const unknown = { value: undefined, low: undefined, high: undefined };
    expect(without).toMatchObject({ bNoise: unknown, bPreconditioned: unknown, predicted: { basis: "b_simple" } });
    const { bSimple, bSimpleLow, bSimpleHigh, covarianceTrace, horizons, layers } = without;
    const same = { bSimple, bSimpleLow, bSimpleHigh, covarianceTrace, horizons, layers };
    expect(fold(observations).estimate()).toMatchObject(same);
  });

  test("a Hessian with tr(HΣ) below 0, or GᵀHG below 0, gives no B_noise, not even a bound", () => {
    const negative = { ...run, hessian: () => curvature.map((value) => -value) };
    expect(fold(formObservations(negative)).estimate().bNoise.low).toBeUndefined();
    // Curvature is negative along the gradient alone.
    const upward = {
      ...run,
      hessian: () => each((i) => (i === 0 ? -1 : 1)),
      gradient: () => each((i) => (i === 0 ? 0.3 : 0)),
    };
    expect(trueScale(upward.hessian(), upward).trace).toBeGreaterThan(0);
    expect(fold(formObservations(upward)).estimate().bNoise).toEqual({
      value: undefined,
      low: undefined,
      high: undefined,
    });
  });

  test("B_noise comes back after a stretch of negative curvature", () => {
    const turning = { ...run, steps: 700, hessian: (step: number) => curvature.map((h) => (step < 150 ? -h : h)) };
    const measured = formObservations(turning);
    expect(fold(measured.slice(0, 150)).estimate().bNoise.value).toBeUndefined();
    const { low, high } = fold(measured).estimate().bNoise;
    expect(low).toBeLessThan(trueScale(curvature, run).scale);
    expect(high).toBeGreaterThan(trueScale(curvature, run).scale);
  });

  test("a form that comes with every M-th measurement is held between two, and is unknown long after the last", () => {
    const everyTenth = hessianAt((i) => i % 10 === 0);
    const estimator = new RunEstimator({});
    const known = everyTenth.map((observation) => estimator.add(observation).bNoise.value !== undefined);
    expect(known.slice(0, 190)).not.toContain(true);
    expect(known.slice(200)).not.toContain(false);
    const stopped = hessianAt((i) => i < 300 && i % 10 === 0);
    const after = fold(stopped.slice(0, 320)).estimate();
    expect(after.bNoise.value).toBeDefined();
    expect(fold(stopped).estimate().bNoise.value).toBeUndefined();
  });

  test("go on with the same bits from the state's bytes anywhere, sparse and late forms included", () => {
    const mixed = observations.map((observation, i) => ({
      ...observation,
      hessian: i >= 7 && i % 3 === 0 ? observation.hessian : undefined,
      preconditioned: i > 0 ? observation.preconditioned : undefined,
    }));
    const whole = fold(mixed).serialize();
    for (const cut of [0, 1, 8, 40, 70, 300]) {
      const resumed = RunEstimator.deserialize(fold(mixed.slice(0, cut)).serialize(), {});
      expect(resumed.estimate()).toEqual(fold(mixed.slice(0, cut)).estimate());
      for (const observation of mixed.slice(cut)) resumed.add(observation);
      expect(resumed.serialize()).toEqual(whole);
    }
  });

  test("are the same where the form is rescaled by any factor, and where all gradients are", () => {
    const { bNoise, bPreconditioned } = fold(observations).estimate();
    fc.assert(
      // Powers of 2, with which scaling itself does not round.
      fc.property(fc.integer({ min: -100, max: 100 }), (exponent) => {
        const scaled = (form: QuadraticFormPair | undefined): QuadraticFormPair | undefined =>
          form && {
            small: { ...form.small, value: form.small.value * 2 ** exponent },
            big: { ...form.big, value: form.big.value * 2 ** exponent },
          };
        const changed = observations.map(({ hessian, preconditioned, ...rest }) => ({
          ...rest,
          hessian: scaled(hessian),
          preconditioned: scaled(preconditioned),
        }));
        const estimate = fold(changed).estimate();
        expect([estimate.bNoise, estimate.bPreconditioned]).toEqual([bNoise, bPreconditioned]);
      }),
      { seed: 3, numRuns: 5 },
    );
  });

  test.each<[string, Partial<Observation>, string]>([
    [
      "b ≥ B",
      { hessian: { small: { batchSize: 256, value: 1 }, big: { batchSize: 256, value: 1 } } },
      "small.batchSize",
    ],
    [
      "a negative preconditioned value",
      { preconditioned: { small: { batchSize: 1, value: 1 }, big: { batchSize: 2, value: -1 } } },
      "preconditioned: values must not be negative",
    ],
    [
      "values that overflow",
      { hessian: { small: { batchSize: 1, value: 1e160 }, big: { batchSize: 2, value: 0 } } },
      "hessian: the squares of the estimates of values 1e+160 (small) and 0 (big) are not finite",
    ],
  ])("a measurement whose form has %s is refused and changes nothing", (_, change, message) => {
    const estimator = fold(observations.slice(0, 30));
    const before = estimator.serialize();
    const next = observations[30];
    if (next === undefined) throw new Error("no observation");
    expect(() => estimator.add({ ...next, ...change })).toThrow(message);
    expect(estimator.serialize()).toEqual(before);
  });
});

test("a decision on the batch size asks of B_noise its own plain average over 199 measurements, and none of B_simple's", () => {
  const estimator = new RunEstimator({});
  const plain = new Horizon(199);
  for (const observation of observations) {
    const point = estimator.add(observation);
    if (observation.hessian === undefined) throw new Error("every measurement has the Hessian");
    const { gradientSquaredNorm, covarianceTrace } = formEstimates(observation.hessian, "signed", undefined, "hessian");
    plain.add(gradientSquaredNorm, covarianceTrace);
    if (point.bNoise.value === undefined) continue;
    const { identifiable, bSimpleLow = Number.NaN, bSimpleHigh = Number.NaN } = plain.noiseScale();
    const sizes = identifiable
      ? { low: Math.round(bSimpleLow), high: Math.round(bSimpleHigh) }
      : { low: undefined, high: undefined };
    expect(estimator.recommendedRange(point).plain()).toEqual(sizes);
  }
  expect(estimator.estimate().recommendation.basis).toBe("b_noise");
});

describe("the frontier predicted from B_noise", () => {
  const truth = trueScale(curvature, run).scale;
  const simpleTruth = trueScale(
    each(() => 1),
    run,
  ).scale;

  test.each([
    ["every measurement", () => true],
    ["every tenth", (i: number) => i % 10 === 0],
    ["every tenth, of which some failed", (i: number) => i % 10 === 0 && i % 70 !== 0],
    ["the twelfth on", (i: number) => i >= 12],
  ])("rests on B_noise alone where that comes with %s", (_, wanted) => {
    const { predicted } = fold(hessianAt(wanted)).estimate();
    expect(predicted.basis).toBe("b_noise");
    expect(predicted.criticalBatchSizeLow).toBeLessThan(truth);
    expect(predicted.criticalBatchSizeHigh).toBeGreaterThan(truth);
    expect(predicted.criticalBatchSize).toBeLessThan(simpleTruth);
  });

  test.each([
    ["late", (i: number) => i >= 300],
    ["late, every fifth", (i: number) => i >= 100 && i % 5 === 0],
    ["no longer", (i: number) => i < 300],
    ["with a long gap", (i: number) => i < 100 || i >= 400],
  ])("rests on B_simple alone where B_noise comes %s", (_, wanted) => {
    const { predicted } = fold(hessianAt(wanted)).estimate();
    expect(predicted).toEqual(fold(hessianAt(() => false)).estimate().predicted);
    expect(Math.abs(Math.log((predicted.criticalBatchSize ?? 0) / simpleTruth))).toBeLessThan(0.3);
  });

  test("counts every step once, whichever measurements have B_noise, as the least steps and units bear out", () => {
    const all = fold(hessianAt(() => true)).estimate().predicted;
    const some = fold(hessianAt((i) => i % 10 === 9)).estimate().predicted;
    // B is constant: S_min/B_crit-share and E_min together give back the steps, Σ Δ = S_min + E_min/B.
    for (const { minSteps = 0, minUnits = 0 } of [all, some]) expect(minSteps + minUnits / 256).toBeCloseTo(600, 9);
  });

  test("has outer bounds without an end where tr(HΣ) cannot be told from 0", () => {
    const scale = new FormScale("signed", 0);
    for (let step = 0; step < 40; step += 1) {
      scale.add({ step, batchSize: 256, parts: 2, gradientSquaredNorm: 0.01, covarianceTrace: step % 2 ? 3 : -2.5 });
    }
    const inverse = scale.inverse;
    expect(inverse).toMatchObject({ low: 0, high: Number.POSITIVE_INFINITY });
    expect(scale.noiseScale().low).toBeUndefined();
    const prediction = new FrontierPrediction("b_noise");
    prediction.add(inverse ?? { low: 0, middle: 0, high: 0 }, 5, 256);
    expect(prediction.estimate()).toMatchObject({
      minStepsLow: 0,
      minStepsHigh: 5,
      minUnitsLow: 0,
      minUnitsHigh: 1280,
    });
    expect(prediction.estimate()).toMatchObject({ criticalBatchSizeLow: 0, criticalBatchSizeHigh: undefined });
  });
});
