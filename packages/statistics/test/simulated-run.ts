import type { Observation } from "../src/index.ts";

/** Deterministic uniform numbers in (0, 1): mulberry32. */
export function seededUniform(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (((mixed ^ (mixed >>> 14)) >>> 0) + 0.5) / 4294967296;
  };
}

/** Standard normal numbers by Box and Muller's method. */
export function seededNormal(seed: number): () => number {
  const uniform = seededUniform(seed);
  return () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
}

export interface SimulatedRun {
  readonly seed: number;
  readonly steps: number;
  /** tr Σ/|G|² at a step; tr Σ is 1. */
  readonly bSimple: (step: number) => number;
  readonly batchSize?: number | ((step: number) => number);
  readonly parts?: number;
  readonly dimensions?: number;
}

/** Gradients of the parts of each step's batch: noise of variance 1/dimensions a unit around a gradient of known size. */
export function* partGradients(run: SimulatedRun): Generator<readonly Float64Array[]> {
  const { seed, steps, bSimple, parts = 8, dimensions = 40 } = run;
  const normal = seededNormal(seed);
  for (let step = 0; step < steps; step += 1) {
    const deviation = Math.sqrt(parts / batchSizeAt(run, step) / dimensions);
    const each = Math.sqrt(1 / bSimple(step) / dimensions);
    yield Array.from({ length: parts }, () =>
      Float64Array.from({ length: dimensions }, () => each + deviation * normal()),
    );
  }
}

function batchSizeAt({ batchSize = 256 }: SimulatedRun, step: number): number {
  return typeof batchSize === "number" ? batchSize : batchSize(step);
}

export function squaredNorm(gradient: Float64Array): number {
  return gradient.reduce((sum, value) => sum + value * value, 0);
}

export function meanGradient(parts: readonly Float64Array[]): Float64Array {
  const sum = new Float64Array(parts[0]?.length ?? 0);
  for (const part of parts) {
    part.forEach((value, i) => {
      sum[i] = (sum[i] ?? 0) + value / parts.length;
    });
  }
  return sum;
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** What a hook would send of the run. */
export function observations(run: SimulatedRun): Observation[] {
  const { parts: count = 8 } = run;
  return Array.from(partGradients(run), (parts, step) => {
    const batchSize = batchSizeAt(run, step);
    return {
      step,
      units: batchSize,
      small: { batchSize: batchSize / count, meanSquaredNorm: mean(parts.map(squaredNorm)) },
      big: { batchSize, squaredNorm: squaredNorm(meanGradient(parts)) },
    };
  });
}
