/**
 * Steps that a batch size takes, as a multiple of the least steps.
 *
 *   S/S_min = 1 + B_crit/B
 *
 * Source: McCandlish et al. 2018, arXiv:1812.06162, equation 2.11.
 * @throws RangeError unless both are positive
 */
export function stepsFactor(batchSize: number, criticalBatchSize: number): number {
  requirePositive(batchSize, criticalBatchSize);
  return 1 + criticalBatchSize / batchSize;
}

/**
 * Units that a batch size takes, as a multiple of the least units: E/E_min = 1 + B/B_crit.
 *
 * Source: McCandlish et al. 2018, arXiv:1812.06162, equation 2.11: (S/S_min − 1)(E/E_min − 1) = 1.
 * @throws RangeError unless both are positive
 */
export function unitsFactor(batchSize: number, criticalBatchSize: number): number {
  requirePositive(batchSize, criticalBatchSize);
  return 1 + batchSize / criticalBatchSize;
}

/**
 * Useful share of the compute at a batch size, E_min/E = 1/(1 + B/𝓑).
 *
 * @param noiseScale - 𝓑 [units]
 */
export function efficiency(batchSize: number, noiseScale: number): number {
  return 1 / unitsFactor(batchSize, noiseScale);
}

/** What a batch size costs beside the others. */
export interface TradeRow {
  readonly batchSize: number;
  readonly role: "current" | "recommended" | "neighbour";
  readonly stepsFactor: number;
  readonly unitsFactor: number;
}

/** A neighbour closer than this to another row costs nearly the same and says nothing more. */
const leastApart = 1.25;

/** Rows for the current and the recommended batch size and for about a half and twice each, in order of batch size. */
export function tradeTable(current: number, recommended: number, criticalBatchSize: number): TradeRow[] {
  const roles = new Map<number, TradeRow["role"]>([
    [recommended, "recommended"],
    [current, "current"],
  ]);
  for (const center of [current, recommended]) {
    for (const batchSize of [Math.round(center / 2), Math.round(center * 2)]) {
      const near = (other: number): boolean => batchSize < other * leastApart && other < batchSize * leastApart;
      if (batchSize > 0 && ![...roles.keys()].some(near)) roles.set(batchSize, "neighbour");
    }
  }
  return [...roles]
    .sort(([one], [other]) => one - other)
    .map(([batchSize, role]) => ({
      batchSize,
      role,
      stepsFactor: stepsFactor(batchSize, criticalBatchSize),
      unitsFactor: unitsFactor(batchSize, criticalBatchSize),
    }));
}

function requirePositive(batchSize: number, criticalBatchSize: number): void {
  if (!(batchSize > 0 && criticalBatchSize > 0)) {
    throw new RangeError(`batch sizes must be positive, not ${batchSize} and ${criticalBatchSize}`);
  }
}
