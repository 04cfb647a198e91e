import { describe, expect, test } from "vitest";
import { formEstimates, Horizon, type NoiseScale, type QuadraticFormKind } from "../src/index.ts";
import { quadraticForm } from "./simulated-forms.ts";
import { mean, meanGradient, seededNormal } from "./simulated-run.ts";

// Readings of gᵀHg and gᵀPg that look right and are not: what H or P has in common with the measured gradient stays in the
// average, however long it is.

/** The plain average over many measurements, with its 95 % set. */
function averaged(
  kind: QuadraticFormKind,
  measurements: readonly {
    readonly small: number;
    readonly big: number;
    readonly batchSize: number;
    readonly parts: number;
  }[],
): NoiseScale {
  const horizon = new Horizon(20_000);
  for (const { small, big, batchSize, parts } of measurements) {
    const pair = { small: { batchSize: batchSize / parts, value: small }, big: { batchSize, value: big } };
    const { gradientSquaredNorm, covarianceTrace } = formEstimates(pair, kind, undefined, "form");
    horizon.add(gradientSquaredNorm, covarianceTrace);
  }
  return horizon.noiseScale();
}

describe("the Hessian", () => {
  // Least squares: x normal with variances λ, d = θ − θ*, y off by σ. Then G = Λd and, by Isserlis' theorem,
  // Σ = (σ² + dᵀΛd)·Λ + GGᵀ, so that tr(HΣ) = (σ² + dᵀΛd)·Σλ² + GᵀΛG.
  const variances = Array.from({ length: 12 }, (_, i) => 2 / (i + 1));
  const distance = variances.map((_, i) => (i % 3 === 0 ? 0.15 : -0.05));
  const noise = 1;
  const gradient = variances.map((variance, i) => variance * (distance[i] ?? 0));
  const signal = quadraticForm(variances, gradient);
  const squares = noise ** 2 + quadraticForm(variances, distance);
  const trace = squares * variances.reduce((sum, variance) => sum + variance ** 2, 0) + signal;
  const truth = trace / signal;

  const batchSize = 16;
  const normal = seededNormal(31);
  const drawn = Array.from({ length: 3000 }, () =>
    Array.from({ length: batchSize }, () => {
      const x = Float64Array.from(variances, (variance) => Math.sqrt(variance) * normal());
      const off = inner(x, distance) - noise * normal();
      return { x, gradient: x.map((value) => value * off) };
    }),
  );
  /** gᵀHg with H = XᵀX/n of some examples. */
  const curvature = (examples: (typeof drawn)[number], g: Float64Array): number =>
    mean(examples.map(({ x }) => inner(x, g) ** 2));
  const measured = (hessianOf: (step: number) => (typeof drawn)[number]) =>
    drawn.slice(1).map((batch, i) => {
      const gradients = batch.map((example) => example.gradient);
      const halves = [gradients.slice(0, batchSize / 2), gradients.slice(batchSize / 2)].map(meanGradient);
      const hessian = hessianOf(i + 1);
      return {
        small: mean(halves.map((half) => curvature(hessian, half))),
        big: curvature(hessian, meanGradient(gradients)),
        batchSize,
        parts: 2,
      };
    });

  test("of other examples gives B_noise of a quadratic loss whose H and Σ are known", () => {
    const {
      bSimple = 0,
      bSimpleLow = 0,
      bSimpleHigh = 0,
    } = averaged(
      "signed",
      measured((step) => drawn[step - 1] ?? []),
    );
    expect(bSimpleLow).toBeLessThan(truth);
    expect(bSimpleHigh).toBeGreaterThan(truth);
    // 3000 measurements of a ratio whose parts vary by about their own size each.
    expect(Math.abs(bSimple / truth - 1)).toBeLessThan(0.1);
  });

  test("of the measured examples themselves takes their noise for signal, and B_noise comes out too low", () => {
    const { bSimple, bSimpleHigh } = averaged(
      "signed",
      measured((step) => drawn[step] ?? []),
    );
    expect(bSimpleHigh).toBeLessThan(truth);
    expect(bSimple).toBeLessThan(0.85 * truth);
  });

  test("along a randomly signed sum of K parts gives the same, with more noise than along the halves' difference", () => {
    const parts = 4;
    const uniform = seededNormal(5);
    const signed = drawn.slice(1).map((batch, i) => {
      const gradients = Array.from({ length: parts }, (_, k) =>
        meanGradient(
          batch.slice((k * batchSize) / parts, ((k + 1) * batchSize) / parts).map((example) => example.gradient),
        ),
      );
      const sum = meanGradient(gradients.map((part) => (uniform() < 0 ? part : part.map((value) => -value))));
      const hessian = drawn[i] ?? [];
      return {
        small: parts * curvature(hessian, sum),
        big: curvature(hessian, meanGradient(gradients)),
        batchSize,
        parts,
      };
    });
    const width = ({ bSimpleLow = 0, bSimpleHigh = 0 }: NoiseScale) => Math.log(bSimpleHigh / bSimpleLow);
    const [bySigns, byHalves] = [
      averaged("signed", signed),
      averaged(
        "signed",
        measured((step) => drawn[step - 1] ?? []),
      ),
    ];
    expect(bySigns.bSimpleLow).toBeLessThan(truth);
    expect(bySigns.bSimpleHigh).toBeGreaterThan(truth);
    expect(width(byHalves)).toBeLessThan(0.9 * width(bySigns));
  });
});

describe("Adam's second moments", () => {
  const dimensions = 30;
  const [batchSize, parts, earlier] = [64, 4, 4];
  const normal = seededNormal(77);
  const deviations = Array.from({ length: dimensions }, (_, i) => 1 / Math.sqrt(i + 1));
  const gradient = deviations.map((deviation) => 0.1 * deviation);
  const drawnPart = (size: number) =>
    Float64Array.from(gradient, (value, i) => value + ((deviations[i] ?? 0) / Math.sqrt(size)) * normal());
  const trials = Array.from({ length: 3000 }, () => {
    const before = Array.from({ length: earlier }, () => drawnPart(batchSize));
    const gradients = Array.from({ length: parts }, () => drawnPart(batchSize / parts));
    return { before, gradients, whole: meanGradient(gradients) };
  });
  /** 1/√v̂ where v̂ is the mean of the squares so far, which Adam's bias correction makes it in its first steps. */
  const metricOf = (seen: readonly Float64Array[]) =>
    gradient.map((_, i) => 1 / Math.sqrt(mean(seen.map((one) => (one[i] ?? 0) ** 2))));
  const measured = (metric: (trial: (typeof trials)[number]) => number[]) =>
    trials.map((trial) => ({
      small: mean(trial.gradients.map((part) => quadraticForm(metric(trial), part))),
      big: quadraticForm(metric(trial), trial.whole),
      batchSize,
      parts,
    }));
  const metrics = trials.map(({ before }) => metricOf(before));
  const truth =
    mean(metrics.map((metric) => metric.reduce((sum, p, i) => sum + p * (deviations[i] ?? 0) ** 2, 0))) /
    mean(metrics.map((metric) => quadraticForm(metric, gradient)));

  test("from before the step give the noise scale in Adam's metric", () => {
    const { bSimpleLow, bSimpleHigh } = averaged(
      "positive",
      measured(({ before }) => metricOf(before)),
    );
    expect(bSimpleLow).toBeLessThan(truth);
    expect(bSimpleHigh).toBeGreaterThan(truth);
  });

  test("from after it have the step's own squares in them, which hide signal: the noise scale comes out too high", () => {
    const after = averaged(
      "positive",
      measured(({ before, whole }) => metricOf([...before, whole])),
    );
    expect(after.bSimpleLow).toBeGreaterThan(1.2 * truth);
  });
});

function inner(left: Float64Array, right: ArrayLike<number>): number {
  return left.reduce((sum, value, i) => sum + value * (right[i] ?? 0), 0);
}
