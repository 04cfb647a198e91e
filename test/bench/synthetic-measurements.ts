import type { MeasurementInput } from "@noisescale/protocol";

/** Uniform in [0, 1); the same numbers from the same seed (Park and Miller 1988). */
export function seededUniform(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}

/** Measurements of a run with B_simple near 256, as a hook would send them. */
export function syntheticMeasurement(step: number, uniform: () => number): MeasurementInput {
  const wobble = (): number => 1 + 0.5 * (uniform() + uniform() + uniform() - 1.5);
  return {
    step,
    time_ms: 1_760_000_000_000 + step * 20,
    units: 256,
    small: { batch_size: 32, squared_norm: (1 / 32 + 1 / 256) * wobble(), count: 8 },
    big: { batch_size: 256, squared_norm: (1 / 256 + 1 / 256) * wobble() },
    loss: 2.3 * Math.exp(-step / 1e5),
    learning_rate: 0.1,
  };
}
