import type { MeasurementInput } from "@noisescale/protocol";
import { measurementSchema } from "@noisescale/protocol";
import { type RunMeasurement, toRunMeasurement } from "../src/run-measurement.ts";

/** Uniform in [0, 1); the same numbers from the same seed (Park and Miller 1988). */
export function seededUniform(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}

/** A run with B_simple near 256; its values depend on attempt and step alone, as a resend's do. */
export function wireMeasurement(step: number, attempt = 0): MeasurementInput {
  const uniform = seededUniform(step * 7919 + attempt * 104_729 + 1);
  uniform();
  const wobble = (): number => 1 + 0.5 * (uniform() + uniform() + uniform() - 1.5);
  return {
    step,
    attempt,
    time_ms: 1_760_000_000_000 + step * 100,
    small: { batch_size: 32, squared_norm: (1 / 32 + 1 / 256) * wobble(), count: 8 },
    big: { batch_size: 256, squared_norm: (1 / 256 + 1 / 256) * wobble() },
    loss: 2 + uniform(),
  };
}

export function measurement(step: number, attempt = 0, wire = wireMeasurement(step, attempt)): RunMeasurement {
  return toRunMeasurement(measurementSchema.parse(wire));
}

/** In another order, the same one from the same seed (Fisher and Yates). */
export function shuffled<T>(values: readonly T[], uniform: () => number): T[] {
  const result = [...values];
  for (let i = result.length - 1; i > 0; i -= 1) {
    const j = Math.floor(uniform() * (i + 1));
    [result[i], result[j]] = [result[j] as T, result[i] as T];
  }
  return result;
}
