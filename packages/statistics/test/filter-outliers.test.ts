import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { covarianceTraceOf, type FilterInput, gradientSquaredNormOf, SignalFilter } from "../src/index.ts";
import { StateReader, StateWriter } from "../src/state-bytes.ts";
import { observations, seededNormal } from "./simulated-run.ts";

const bSimple = 300;

function inputs(seed: number, steps: number): FilterInput[] {
  return observations({ seed, steps, bSimple: () => bSimple }).map((pair) => ({
    covarianceTrace: covarianceTraceOf(pair),
    gradientSquaredNorm: gradientSquaredNormOf(pair),
    batchSize: 256,
    parts: 8,
    steps: 1,
  }));
}

/** Both squared norms times a factor. */
const times = (input: FilterInput, factor: number): FilterInput => ({
  ...input,
  covarianceTrace: factor * input.covarianceTrace,
  gradientSquaredNorm: factor * input.gradientSquaredNorm,
});

function followed(some: readonly FilterInput[]): SignalFilter {
  const filter = new SignalFilter();
  for (const input of some) filter.add(input);
  return filter;
}

function copy(filter: SignalFilter): SignalFilter {
  const writer = new StateWriter();
  filter.write(writer);
  return SignalFilter.read(new StateReader(writer.bytes()));
}

function holds(filter: SignalFilter): boolean {
  const { lower, upper } = filter.quantiles;
  return lower <= 256 / bSimple && 256 / bSimple <= upper;
}

const run = inputs(1, 1200);
const started = followed(run.slice(0, 600));
const next = run[600] as FilterInput;
const further = run.slice(600);

describe("a measurement far beyond all before it", () => {
  test("leaves what is known as it was, counts, and is to the next one as a step that was not measured", () => {
    fc.assert(
      fc.property(fc.double({ min: 100, max: 1e100, noNaN: true }), (factor) => {
        const spiked = copy(started);
        spiked.add(times(next, factor));
        expect(spiked.quantiles).toEqual(started.quantiles);
        expect(spiked.covarianceTrace).toBe(started.covarianceTrace);
        expect(spiked.outliers).toBe(1);
        const unmeasured = copy(started);
        for (const [index, input] of further.slice(0, 50).entries()) {
          spiked.add(input);
          unmeasured.add(index === 0 ? { ...input, steps: 2 } : input);
        }
        expect(spiked.quantiles).toEqual(unmeasured.quantiles);
      }),
      { seed: 7, numRuns: 20 },
    );
  });

  test("counts where only the signal or only the noise is", () => {
    for (const part of [{ covarianceTrace: 1e6 }, { gradientSquaredNorm: 1e6 }, { gradientSquaredNorm: -1e6 }]) {
      const filter = copy(started);
      filter.add({ ...next, ...part });
      expect(filter.outliers).toBe(1);
      expect(filter.quantiles).toEqual(started.quantiles);
    }
  });

  test("is found among the twenty that the filter starts from, which then waits for another", () => {
    const spiked = run.slice(0, 25);
    spiked[3] = times(spiked[3] as FilterInput, 1e6);
    const filter = followed(spiked.slice(0, 20));
    expect(filter.started).toBe(false);
    expect(filter.missing).toBe(1);
    expect(filter.outliers).toBe(1);
    for (const input of spiked.slice(20)) filter.add(input);
    const without = followed(spiked.filter((_, index) => index !== 3));
    expect(filter.quantiles).toEqual(without.quantiles);
  });

  test("is none where five or more of the first twenty are like it, or most of them are 0", () => {
    const sparse = run.slice(0, 20).map((input, index) => times(input, index % 8 === 0 ? 1 : 0));
    const mixed = run.slice(0, 20).map((input, index) => times(input, index % 4 === 0 ? 1e6 : 1));
    for (const some of [sparse, mixed]) {
      const filter = followed(some);
      expect(filter.started).toBe(true);
      expect(filter.outliers).toBe(0);
    }
  });
});

describe("a change that looks like outliers first", () => {
  test.each([20, 1e3, 1e9])(
    "of all gradients' squares by %d is known from its fifth measurement on, and none counts",
    (factor) => {
      const filter = copy(started);
      for (const input of further.slice(0, 4)) filter.add(times(input, factor));
      expect(filter.outliers).toBe(4);
      filter.add(times(further[4] as FilterInput, factor));
      expect(filter.outliers).toBe(0);
      // The mean of five: their relative standard deviation is √(2/(7·40)) = .08 each.
      expect(filter.covarianceTrace / factor).toBeCloseTo(1, 0);
      for (const input of further.slice(5)) filter.add(times(input, factor));
      expect(filter.outliers).toBe(0);
      expect(Math.abs(filter.covarianceTrace / factor - 1)).toBeLessThan(0.05);
      expect(holds(filter)).toBe(true);
    },
  );

  test("to a thousandth of all gradients' squares leaves the noise scale, and tr Σ follows as its mean does", () => {
    const filter = copy(started);
    for (const input of further) {
      filter.add(times(input, 1e-3));
      expect(holds(filter)).toBe(true);
    }
    expect(filter.outliers).toBe(0);
    // 600 measurements of a mean over 100: e^−6 = .0025 of the old value is left.
    expect(filter.covarianceTrace).toBeLessThan(0.0045);
  });

  test("of the noise scale, to a thousandth, is followed within ten measurements", () => {
    const filter = copy(started);
    const changed = observations({ seed: 3, steps: 10, bSimple: () => bSimple / 1000 });
    for (const pair of changed) {
      filter.add({
        ...next,
        covarianceTrace: covarianceTraceOf(pair),
        gradientSquaredNorm: gradientSquaredNormOf(pair),
      });
    }
    expect(filter.outliers).toBe(0);
    expect(Math.abs(Math.log((1000 * 256) / bSimple / filter.quantiles.median))).toBeLessThan(0.1);
  });
});

describe("outliers that keep coming", () => {
  test("are let in from the fifth on where they come one in ten", () => {
    const filter = copy(started);
    for (const [index, input] of further.entries()) filter.add(times(input, index % 10 === 0 ? 1e6 : 1));
    expect(filter.outliers).toBe(4);
    // Their mean is 1e5: tr Σ is not what it would be without them.
    expect(filter.covarianceTrace).toBeGreaterThan(1e4);
  });

  test("are left out for ever where they come one in 150", () => {
    const filter = copy(started);
    for (let index = 0; index < 6000; index += 1) {
      filter.add(times(further[index % further.length] as FilterInput, index % 150 === 0 ? 1e6 : 1));
    }
    expect(filter.outliers).toBe(40);
    expect(holds(filter)).toBe(true);
  });

  test("are next to none where steps vary lognormally by e^±1, the largest hundreds of times the median", () => {
    let left = 0;
    let ratio = 0;
    for (let seed = 0; seed < 20; seed += 1) {
      const normal = seededNormal(seed);
      const filter = followed(inputs(seed, 600).map((input) => times(input, Math.exp(normal() - 0.5))));
      left += filter.outliers;
      ratio += filter.quantiles.median / (256 / bSimple) / 20;
    }
    expect(left).toBeLessThanOrEqual(2);
    // Each run's estimate is within .04 or so of the truth, the mean of 20 within .01: three standard errors.
    expect(Math.abs(ratio - 1)).toBeLessThan(0.03);
  }, 20_000); // 12,000 simulated measurements
});
