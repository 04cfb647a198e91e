/**
 * Batch size that costs the least while the noise scale is 𝓑, where r is the cost of a step's latency over the cost of a
 * unit: B(s) = √(r·𝓑(s)) at each of the least steps s.
 *
 * Source: McCandlish et al. 2018, arXiv:1812.06162, appendix D.
 * @param noiseScale - 𝓑 [units]
 * @param latencyRatio - r [units]
 */
export function adaptiveBatchSize(noiseScale: number, latencyRatio: number): number {
  return Math.sqrt(latencyRatio * noiseScale);
}

/** Steps and units as multiples of the least steps and of the least units. */
export interface ScheduleCost {
  readonly stepsFactor: number;
  readonly unitsFactor: number;
}

/**
 * What a schedule with the gain γ costs: (S/S_min − 1)(E/E_min − 1) = γ, at the point where the cost r·S + E is least:
 *
 *   S/S_min = 1 + √(γ·B_crit/r),  E/E_min = 1 + √(γ·r/B_crit)
 *
 * γ = 1 is the one fixed batch size √(r·B_crit).
 * Source: McCandlish et al. 2018, arXiv:1812.06162, appendix D.
 * @param criticalBatchSize - E_min/S_min of the run [units]
 * @param latencyRatio - r [units]
 */
export function scheduleCost(gain: number, criticalBatchSize: number, latencyRatio: number): ScheduleCost {
  return {
    stepsFactor: 1 + Math.sqrt((gain * criticalBatchSize) / latencyRatio),
    unitsFactor: 1 + Math.sqrt((gain * latencyRatio) / criticalBatchSize),
  };
}
