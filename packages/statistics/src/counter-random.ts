/**
 * Whole number from 0 to `bound` − 1 that depends on `counter` alone: the same draws on every machine, without a state.
 *
 * The counter is spread over 32 bits by the golden ratio (a Weyl sequence) and mixed by MurmurHash3's finalizer, after
 * SplitMix (Steele, Lea and Flood 2014, Fast splittable pseudorandom number generators).
 *
 * @param counter - a whole number ≥ 0; beyond 2³² the numbers repeat
 * @param bound - a whole number ≥ 1, small against 2³²
 */
export function counterIndex(counter: number, bound: number): number {
  let mixed = Math.imul(counter, 0x9e3779b9) >>> 0;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  mixed = (mixed ^ (mixed >>> 16)) >>> 0;
  return Math.floor((mixed / 4_294_967_296) * bound);
}
