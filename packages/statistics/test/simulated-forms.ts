import type { Observation, QuadraticFormPair } from "../src/index.ts";
import { mean, meanGradient, seededNormal, squaredNorm } from "./simulated-run.ts";

export interface SimulatedForms {
  readonly seed: number;
  readonly steps: number;
  /** Diagonal of H at a step. */
  readonly hessian: (step: number) => readonly number[];
  /** Diagonal of P. */
  readonly preconditioner: readonly number[];
  /** Diagonal of Σ per unit. */
  readonly variances: readonly number[];
  /** G at a step. */
  readonly gradient: (step: number) => readonly number[];
  readonly batchSize?: number;
  readonly parts?: number;
}

/** gᵀMg with a diagonal M. */
export function quadraticForm(diagonal: readonly number[], gradient: ArrayLike<number>): number {
  return diagonal.reduce((sum, value, i) => sum + value * (gradient[i] ?? 0) ** 2, 0);
}

/** tr(MΣ)/(GᵀMG) of diagonal matrices. */
export function trueScale(
  form: readonly number[],
  { gradient, variances }: SimulatedForms,
  step = 0,
): { readonly trace: number; readonly signal: number; readonly scale: number } {
  const trace = form.reduce((sum, value, i) => sum + value * (variances[i] ?? 0), 0);
  const signal = quadraticForm(form, gradient(step));
  return { trace, signal, scale: trace / signal };
}

/** What a hook would send that measures both forms: the Hessian's on the batch's two halves, P's on all parts. */
export function formObservations(run: SimulatedForms): Observation[] {
  const { seed, steps, variances, preconditioner, batchSize = 256, parts: count = 8 } = run;
  const normal = seededNormal(seed);
  const deviations = variances.map((variance) => Math.sqrt((variance * count) / batchSize));
  return Array.from({ length: steps }, (_, step) => {
    const gradient = run.gradient(step);
    const parts = Array.from({ length: count }, () =>
      Float64Array.from(gradient, (value, i) => value + (deviations[i] ?? 0) * normal()),
    );
    const halves = [parts.slice(0, count / 2), parts.slice(count / 2)].map(meanGradient);
    const pair = (form: readonly number[], small: readonly Float64Array[]): QuadraticFormPair => ({
      small: { batchSize: batchSize / small.length, value: mean(small.map((part) => quadraticForm(form, part))) },
      big: { batchSize, value: quadraticForm(form, meanGradient(parts)) },
    });
    return {
      step,
      units: batchSize,
      small: { batchSize: batchSize / count, meanSquaredNorm: mean(parts.map(squaredNorm)) },
      big: { batchSize, squaredNorm: squaredNorm(meanGradient(parts)) },
      hessian: pair(run.hessian(step), halves),
      preconditioned: pair(preconditioner, parts),
    };
  });
}
