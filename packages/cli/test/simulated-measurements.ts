import type { MeasurementInput } from "@noisescale/protocol";
import { seededRandom } from "../src/demo/seeded-random.ts";

const batchSize = 256;
const parts = 8;
const dimensions = 50;

/** Measurements of a run whose B_simple is known: |G|² = 1/noiseScale, tr Σ = 1, isotropic in 50 dimensions. */
export function simulatedMeasurements(count: number, noiseScale: number, seed: number): MeasurementInput[] {
  const uniform = seededRandom(seed);
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  const signal = Math.sqrt(1 / noiseScale / dimensions);
  const deviation = Math.sqrt(parts / batchSize / dimensions);
  return Array.from({ length: count }, (_, step) => {
    const gradients = Array.from({ length: parts }, () =>
      Array.from({ length: dimensions }, () => signal + deviation * normal()),
    );
    const mean = Array.from({ length: dimensions }, (_, i) =>
      gradients.reduce((sum, gradient) => sum + (gradient[i] ?? 0) / parts, 0),
    );
    const square = (vector: readonly number[]): number => vector.reduce((sum, value) => sum + value * value, 0);
    return {
      step,
      time_ms: 1_760_000_000_000 + step,
      small: {
        batch_size: batchSize / parts,
        squared_norm: gradients.reduce((sum, gradient) => sum + square(gradient) / parts, 0),
        count: parts,
      },
      big: { batch_size: batchSize, squared_norm: square(mean) },
    };
  });
}
