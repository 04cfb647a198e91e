/** Uniform in [0, 1); the same numbers from the same seed (Park and Miller 1988). */
export function seededUniform(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}
