/** One of the parts that a batch is split into: rows `begin` to `begin + size` of axis 0. */
export interface MicroBatch {
  readonly begin: number;
  readonly size: number;
}

/**
 * Splits a batch into parts whose sizes differ by at most 1.
 * @param examples - rows of the batch
 * @param parts - number of parts K
 * @returns undefined below 2K rows: a part of one example leaves too little to average over
 */
export function microBatches(examples: number, parts: number): MicroBatch[] | undefined {
  if (examples < 2 * parts) return undefined;
  const rest = examples % parts;
  const least = (examples - rest) / parts;
  return Array.from({ length: parts }, (_, index) => ({
    begin: index * least + Math.min(index, rest),
    size: least + (index < rest ? 1 : 0),
  }));
}
