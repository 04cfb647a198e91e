// Cost of the statistics alone: one measurement of a run without layers, in parts, and for each of its horizons.
//
//   node --conditions=@noisescale/source test/bench/estimator.ts
import {
  type FilterInput,
  Horizon,
  horizonLengths,
  type Observation,
  RunEstimator,
  SignalFilter,
} from "@noisescale/statistics";
import { seededUniform, syntheticMeasurement } from "./synthetic-measurements.ts";

const measurements = 20_000;
const rounds = 21;

const uniform = seededUniform(5);
const observations: Observation[] = Array.from({ length: measurements }, (_, step) => {
  const { small, big } = syntheticMeasurement(step, uniform);
  return {
    step,
    units: big.batch_size,
    small: { batchSize: small.batch_size, meanSquaredNorm: small.squared_norm },
    big: { batchSize: big.batch_size, squaredNorm: big.squared_norm },
  };
});
const inputs: FilterInput[] = observations.map(({ small, big }) => ({
  gradientSquaredNorm:
    (big.batchSize * big.squaredNorm - small.batchSize * small.meanSquaredNorm) / (big.batchSize - small.batchSize),
  covarianceTrace: (small.meanSquaredNorm - big.squaredNorm) / (1 / small.batchSize - 1 / big.batchSize),
  batchSize: big.batchSize,
  parts: big.batchSize / small.batchSize,
  steps: 1,
}));

const parts: Readonly<Record<string, () => void>> = {
  "all of a measurement": () => {
    const estimator = new RunEstimator({});
    for (const observation of observations) estimator.add(observation);
  },
  "the filter with its three quantiles": () => {
    const filter = new SignalFilter();
    for (const input of inputs) filter.add(input);
  },
  "the horizons' sums": () => {
    const horizons = horizonLengths.map((length) => new Horizon(length));
    for (const input of inputs) {
      for (const horizon of horizons) horizon.add(input.gradientSquaredNorm, input.covarianceTrace);
    }
  },
};

/** Of the processor, so that others on the machine do not count; in turns, so that its moods hit all alike. */
const microseconds = new Map<string, number[]>(Object.keys(parts).map((name) => [name, []]));
for (let round = 0; round < rounds; round += 1) {
  for (const [name, fold] of Object.entries(parts)) {
    const started = process.cpuUsage();
    fold();
    const { user, system } = process.cpuUsage(started);
    microseconds.get(name)?.push((user + system) / measurements);
  }
}

function median(name: string): number {
  const sorted = [...(microseconds.get(name) ?? [])].sort((one, other) => one - other);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

const [all, filter, horizons] = Object.keys(parts).map(median) as [number, number, number];
const count = horizonLengths.length;
console.log(
  `Medians of ${rounds} interleaved rounds of ${measurements} measurements, ${count} horizons, processor time:`,
);
console.log(`  all of a measurement           ${all.toFixed(2)} µs: ${(all / count).toFixed(2)} µs for each horizon`);
console.log(`  the filter with its quantiles  ${filter.toFixed(2)} µs`);
console.log(
  `  the horizons' sums             ${horizons.toFixed(2)} µs: ${(horizons / count).toFixed(3)} µs for each horizon`,
);
