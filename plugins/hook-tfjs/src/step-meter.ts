import type { MeasurementInput } from "@noisescale/protocol";
import * as tf from "@tensorflow/tfjs-core";
import { checkRows, curvatureRows, type HeldBatch, unusable } from "./hessian.ts";
import { type MicroBatch, microBatches } from "./micro-batches.ts";
import { hasMetric, rootMetric } from "./optimizer-metric.ts";
import {
  type PartResult,
  type PartSquares,
  pack,
  type Slot,
  type SquareRows,
  type SummedParts,
  sumParts,
  unpack,
  type WantedForms,
} from "./part-gradients.ts";
import type { Report } from "./report.ts";
import { hessianForm, layerSquares, preconditionedForm, smallAndBig } from "./step-measurement.ts";

/** One optimizer step as a training loop takes it, and the ways to take it apart. */
export interface TrainingStep {
  /** Rows of the batch. */
  readonly examples: number;
  /** The step as if nobody watched: loss first, then metrics. */
  plain(): tf.Scalar[];
  /** Prepares the parts; what it returns runs one part at the current weights, without an update. */
  split(parts: readonly MicroBatch[]): (part: number) => PartResult;
  /**
   * The step as in `plain`, with the parts' squares seen on the way; undefined if it could not be taken so, and was not.
   * Only where every loss is known to be a mean over the examples.
   */
  readonly tapped: ((parts: readonly MicroBatch[]) => TappedStep | undefined) | undefined;
  /** Keeps the batch for the Hessian of the next step. */
  hold(): HeldBatch;
  /** What tells the batch from a held one. */
  fingerprint(): tf.Tensor1D;
  readonly optimizer: tf.Optimizer;
  /** Applies the batch's gradient, as the optimizer would have done in `plain`. */
  apply(gradients: tf.NamedTensorMap): void;
  /** True if the parts' sum may stand for the batch: plain optimizer, every loss and metric a mean over examples. */
  readonly mayApplyParts: () => boolean;
  /** Changes when the loss or the optimizer is exchanged: the parts are then compared with the batch again. */
  readonly identity: unknown;
  /** The loss of the same examples differs from run to run (dropout, noise). */
  readonly stochastic: boolean;
  /** The examples of a batch see each other (batch normalisation): the parts never sum to the batch. */
  readonly coupled: boolean;
  readonly learningRate: number | undefined;
  readonly layerOf: ((variable: string) => string) | undefined;
}

/** A step that was taken, with its squares if they could be read. */
export interface TappedStep {
  readonly outputs: tf.Scalar[];
  readonly squares: SquareRows | undefined;
}

export interface MeterOptions {
  /** Number of parts K. */
  readonly parts: number;
  /** A step in so many is measured. */
  readonly every: number;
  readonly firstStep: number;
  /** B_noise is measured in a step of so many, a multiple of `every`; undefined: never. */
  readonly hessianEvery: number | undefined;
  /** The noise scale in the optimizer's metric is measured. */
  readonly preconditioned: boolean;
}

const noRows: SquareRows = { rows: [], slots: [] };

function joined(...parts: readonly SquareRows[]): SquareRows {
  return { rows: parts.flatMap(({ rows }) => rows), slots: parts.flatMap(({ slots }) => slots) };
}

/** Failures in a row after which the hook stops trying. */
const mostFailures = 3;

/** Decides which steps are measured, takes them, and reads the squares back without waiting for them. */
export class StepMeter {
  readonly #options: MeterOptions;
  readonly #report: Report;
  #step: number;
  #failures = 0;
  #coupledReported = false;
  /** For which loss and optimizer the parts were found to sum to the batch; the first measured step compares. */
  #comparedFor: unknown;
  #partsSumToBatch = false;
  #off = false;
  #held: { readonly batch: HeldBatch; readonly identity: unknown } | undefined;
  #hessianFailures = 0;
  #hessianOff = false;
  /** For which loss and optimizer the held batch's loss was found to be the same twice. */
  #repeatableFor: unknown;
  #withoutMetricReported = false;
  #reading: Promise<void> = Promise.resolve();

  constructor(options: MeterOptions, report: Report) {
    this.#options = options;
    this.#report = report;
    this.#step = options.firstStep;
  }

  get nextStep(): number {
    return this.#step;
  }

  /** Resolves when every measured step so far has been read back. */
  get settled(): Promise<void> {
    return this.#reading;
  }

  take(training: TrainingStep): tf.Scalar[] {
    const step = this.#step++;
    const held = this.#held;
    this.#held = this.#holdFor(step + 1, training);
    try {
      if (this.#off || step % this.#options.every !== 0) return training.plain();
      const parts = microBatches(training.examples, this.#options.parts);
      if (parts === undefined) {
        this.#report.event(step, "dropped", "batch-too-small");
        return training.plain();
      }
      return this.#measured(step, training, parts, held?.identity === training.identity ? held?.batch : undefined);
    } finally {
      held?.batch.dispose();
    }
  }

  /** Lets go of the batch that is held for the next step. */
  release(): void {
    this.#held?.batch.dispose();
    this.#held = undefined;
  }

  #holdFor(step: number, training: TrainingStep): { batch: HeldBatch; identity: unknown } | undefined {
    const { hessianEvery } = this.#options;
    if (hessianEvery === undefined || this.#off || this.#hessianOff || step % hessianEvery !== 0) return undefined;
    try {
      return { batch: training.hold(), identity: training.identity };
    } catch {
      this.#hessianFailed(step);
      return undefined;
    }
  }

  #measured(
    step: number,
    training: TrainingStep,
    parts: readonly MicroBatch[],
    held: HeldBatch | undefined,
  ): tf.Scalar[] {
    const additive = this.#comparedFor === training.identity && this.#partsSumToBatch;
    const wantsMetric = this.#wantsMetric(step, training.optimizer);
    // The taps see squares only: the gradients of the parts are wanted whole.
    const tapped = additive && !wantsMetric && held === undefined ? training.tapped?.(parts) : undefined;
    if (tapped === undefined) {
      const wanted = {
        rootMetric: () => (wantsMetric ? rootMetric(training.optimizer) : undefined),
        halves: held !== undefined,
      };
      return this.#inParts(step, training, parts, wanted, held, additive && training.mayApplyParts());
    }
    const [loss] = tapped.outputs;
    if (tapped.squares === undefined || loss === undefined) this.#failed(step);
    else this.#read(step, training, parts, tapped.squares, [loss]);
    tf.dispose([...(tapped.squares?.rows ?? [])]);
    return tapped.outputs;
  }

  #wantsMetric(step: number, optimizer: tf.Optimizer): boolean {
    if (!this.#options.preconditioned) return false;
    if (hasMetric(optimizer)) return true;
    if (!this.#withoutMetricReported) this.#report.event(step, "unavailable", "no-second-moments");
    this.#withoutMetricReported = true;
    return false;
  }

  #inParts(
    step: number,
    training: TrainingStep,
    parts: readonly MicroBatch[],
    wanted: WantedForms,
    held: HeldBatch | undefined,
    mayApplyParts: boolean,
  ): tf.Scalar[] {
    let summed: SummedParts;
    try {
      summed = sumParts(parts, () => training.split(parts), wanted);
    } catch {
      this.#failed(step);
      return training.plain();
    }
    if (training.coupled && !this.#coupledReported) {
      this.#coupledReported = true;
      this.#report.event(step, "warning", "batch-norm");
    }
    const curvature = held === undefined ? noRows : this.#curvature(step, training, summed, held);
    let outputs = summed.outputs;
    if (mayApplyParts) training.apply(summed.gradients);
    else outputs = training.plain();
    const losses = [summed.outputs[0], outputs[0]].filter((loss) => loss !== undefined);
    this.#read(step, training, parts, joined(summed, curvature), losses);
    tf.dispose([summed.gradients, summed.difference, summed.rows, mayApplyParts ? [] : summed.outputs]);
    tf.dispose([...curvature.rows]);
    return outputs;
  }

  /** Before the update, as everything else of the step; what fails here costs the Hessian alone. */
  #curvature(step: number, training: TrainingStep, summed: SummedParts, held: HeldBatch): SquareRows {
    const known = this.#repeatableFor === training.identity;
    try {
      const slots: Slot[] = [];
      const rows = tf.tidy(() => {
        const all = joined(
          checkRows(held, training.fingerprint(), !known),
          curvatureRows(summed.gradients, held, "sum"),
          curvatureRows(summed.difference, held, "difference"),
        );
        slots.push(...all.slots);
        return [...all.rows];
      });
      return { rows, slots };
    } catch {
      this.#hessianFailed(step);
      return noRows;
    }
  }

  #hessianFailed(step: number): void {
    this.#hessianFailures += 1;
    this.#hessianOff ||= this.#hessianFailures >= mostFailures;
    this.#report.event(step, this.#hessianOff ? "unavailable" : "dropped", "hessian-failed");
  }

  /** @returns true if the step's curvature can be used */
  #checkHessian(step: number, identity: unknown, { curvature, check }: PartSquares): boolean {
    if (curvature.size === 0 || this.#hessianOff) return false;
    const reason = unusable(check);
    if (reason === undefined) {
      this.#hessianFailures = 0;
      this.#repeatableFor = identity;
      return true;
    }
    this.#hessianOff ||= reason === "hessian-not-repeatable";
    this.#report.event(step, this.#hessianOff ? "unavailable" : "dropped", reason);
    return false;
  }

  /** Readings stay in the order of the steps: a sink gets them as they were taken. */
  #read(
    step: number,
    training: TrainingStep,
    parts: readonly MicroBatch[],
    { rows, slots }: SquareRows,
    losses: readonly tf.Scalar[],
  ): void {
    const timeMs = Date.now();
    const { learningRate, identity } = training;
    let packed: tf.Tensor1D;
    let values: Promise<ArrayLike<number>>;
    try {
      packed = tf.keep(pack(rows, losses));
      values = packed.data();
    } catch {
      this.#failed(step);
      return;
    }
    this.#failures = 0;
    const before = this.#reading;
    this.#reading = (async () => {
      try {
        const read = await values;
        await before;
        const squares = unpack(read, slots);
        const [lossOfParts] = squares.scalars;
        const lossOfBatch = squares.scalars.at(-1);
        if (!this.#compare(step, training, identity, lossOfParts, lossOfBatch)) return;
        const measurement: MeasurementInput = {
          step,
          time_ms: timeMs,
          units: training.examples,
          ...smallAndBig(parts, squares),
          ...preconditionedForm(parts, squares),
          ...(this.#checkHessian(step, identity, squares) ? hessianForm(parts, squares) : {}),
          ...(training.layerOf === undefined ? {} : { layers: layerSquares(parts, squares, training.layerOf) }),
          ...(Number.isFinite(lossOfBatch) && lossOfBatch !== undefined ? { loss: lossOfBatch } : {}),
          ...(learningRate === undefined ? {} : { learning_rate: learningRate }),
        };
        if (!Number.isFinite(measurement.small.squared_norm) || !Number.isFinite(measurement.big.squared_norm)) {
          this.#report.event(step, "dropped", "not-finite");
        } else {
          this.#report.measured(measurement);
        }
      } catch {
        this.#failed(step);
      } finally {
        packed.dispose();
      }
    })();
  }

  /**
   * Compares the batch's loss with the sum of its parts'. A loss that is a sum, or that mixes the examples, does not add
   * up, and then the two squared norms do not belong together.
   * @returns false if the step cannot be used
   */
  #compare(step: number, training: TrainingStep, identity: unknown, ofParts?: number, ofBatch?: number): boolean {
    if (this.#off) return false;
    if (this.#comparedFor === identity || training.coupled) return true;
    if (ofParts === undefined || ofBatch === undefined || !Number.isFinite(ofParts) || !Number.isFinite(ofBatch)) {
      return true;
    }
    // Deterministic losses differ by float32 rounding alone; with dropout a sum is still told from a mean, by its factor K ≥ 2.
    const tolerance = training.stochastic ? 0.4 : 1e-3;
    const additive = Math.abs(ofBatch - ofParts) <= tolerance * Math.max(Math.abs(ofBatch), Math.abs(ofParts));
    this.#comparedFor = identity;
    this.#partsSumToBatch = additive;
    if (!additive) {
      this.#off = true;
      this.#report.event(step, "unavailable", "loss-not-additive");
    }
    return additive;
  }

  #failed(step: number): void {
    this.#failures += 1;
    this.#off ||= this.#failures >= mostFailures;
    this.#report.event(step, this.#off ? "unavailable" : "dropped", "hook-failed");
  }
}
