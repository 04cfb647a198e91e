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
 * Factor √(B′/B) on the learning rate of Adam-like optimizers. With κ = B′/B the momentum goes with it: 1 − β → κ(1 − β),
 * ε → ε/√κ.
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

/**
 * Temperature ε/B of the training: B_simple moves with it, so a change of either is no change of the data.
 *
 * Source: McCandlish et al. 2018, arXiv:1812.06162, appendix C.
 */
export function temperature(learningRate: number, batchSize: number): number {
  return learningRate / batchSize;
}
