/**
 * Factor on SGD's learning rate when the batch size goes from B to B′.
 *
 *   ε(B′)/ε(B) = (1 + 𝓑/B)/(1 + 𝓑/B′)
 *
 * Source: McCandlish et al. 2018, arXiv:1812.06162, equation 2.6.
 * @param noiseScale - 𝓑 [units]
 */
export function sgdLearningRateFactor(batchSize: number, newBatchSize: number, noiseScale: number): number {
  return (1 + noiseScale / batchSize) / (1 + noiseScale / newBatchSize);
}

/**
 * Factor √(B′/B) on the learning rate of Adam-like optimizers; `adamFactors` go with it.
 *
 * Source: Malladi et al. 2022, On the SDEs and scaling rules for adaptive gradient algorithms, arXiv:2205.10287.
 * @returns undefined where either batch size is above the noise scale: the rule is derived where noise dominates
 */
export function adamLearningRateFactor(
  batchSize: number,
  newBatchSize: number,
  noiseScale: number,
): number | undefined {
  if (batchSize > noiseScale || newBatchSize > noiseScale) return undefined;
  return Math.sqrt(newBatchSize / batchSize);
}

/** What goes with Adam's learning rate when the batch size changes. */
export interface AdamFactors {
  /** Factor on 1 − β, for β₁ and β₂. */
  readonly oneMinusBetaFactor: number;
  /** Factor on ε, the number that is added to the root of the second moment. */
  readonly epsilonFactor: number;
}

/**
 * With κ = B′/B: 1 − β → κ(1 − β), so that the moments average over as many units as before; ε → ε/√κ, as the root of
 * the second moment does where noise dominates.
 *
 * Source: Malladi et al. 2022, arXiv:2205.10287, the square root scaling rule for Adam.
 */
export function adamFactors(batchSize: number, newBatchSize: number): AdamFactors {
  const ratio = newBatchSize / batchSize;
  return { oneMinusBetaFactor: ratio, epsilonFactor: 1 / Math.sqrt(ratio) };
}
