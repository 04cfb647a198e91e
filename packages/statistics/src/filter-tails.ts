import { startMeasurements } from "./filter-priors.ts";
import { meanFourth, meanSquare, measurements } from "./filter-state.ts";

const memory = 1000;
/** Measurements that the start at a normal distribution's moments counts for. */
const startWeight = 200;
const largestSquare = 1e4;

export function startTails(shared: Float64Array): void {
  shared[meanSquare] = 1;
  shared[meanFourth] = 3;
}

/** @param square of a standardised innovation */
export function learnTails(shared: Float64Array, square: number): void {
  const n = Math.min((shared[measurements] as number) - startMeasurements + startWeight, memory);
  const kept = Math.min(square, largestSquare);
  shared[meanSquare] = (shared[meanSquare] as number) + (kept - (shared[meanSquare] as number)) / n;
  shared[meanFourth] = (shared[meanFourth] as number) + (kept * kept - (shared[meanFourth] as number)) / n;
}

/**
 * How much wider an interval of normals has to be where rare, large errors decide: their mean then is far from normal, and
 * its estimated variance too small until the next one comes. 1 + .2·(log(kurtosis/3) − 1.35), from 1 to 1.6: found
 * by experiment. Up to a kurtosis of 11.5 it is 1.
 */
export function tailWidening(shared: Float64Array): number {
  const normal = 3 * Math.max(shared[meanSquare] as number, 1e-100) ** 2;
  const excess = Math.log((shared[meanFourth] as number) / normal) - 1.35;
  return 1 + 0.2 * Math.min(Math.max(excess, 0), 3);
}
