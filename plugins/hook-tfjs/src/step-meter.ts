import type { MeasurementInput } from "@noisescale/protocol";
import * as tf from "@tensorflow/tfjs-core";
import { type MicroBatch, microBatches } from "./micro-batches.ts";
import { type PartResult, pack, type SquareRows, type SummedParts, sumParts, unpack } from "./part-gradients.ts";
import type { Report } from "./report.ts";
import { layerSquares, smallAndBig } from "./step-measurement.ts";

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
    if (this.#off || step % this.#options.every !== 0) return training.plain();
    const parts = microBatches(training.examples, this.#options.parts);
    if (parts === undefined) {
      this.#report.event(step, "dropped", "batch-too-small");
      return training.plain();
    }
    return this.#measured(step, training, parts);
  }

  #measured(step: number, training: TrainingStep, parts: readonly MicroBatch[]): tf.Scalar[] {
    const additive = this.#comparedFor === training.identity && this.#partsSumToBatch;
    const tapped = additive ? training.tapped?.(parts) : undefined;
    if (tapped === undefined) return this.#inParts(step, training, parts, additive && training.mayApplyParts());
    const [loss] = tapped.outputs;
    if (tapped.squares === undefined || loss === undefined) this.#failed(step);
    else this.#read(step, training, parts, tapped.squares, [loss]);
    tf.dispose([...(tapped.squares?.rows ?? [])]);
    return tapped.outputs;
  }

  #inParts(step: number, training: TrainingStep, parts: readonly MicroBatch[], mayApplyParts: boolean): tf.Scalar[] {
    let summed: SummedParts;
    try {
      summed = sumParts(parts, () => training.split(parts));
    } catch {
      this.#failed(step);
      return training.plain();
    }
    if (training.coupled && !this.#coupledReported) {
      this.#coupledReported = true;
      this.#report.event(step, "warning", "batch-norm");
    }
    let outputs = summed.outputs;
    if (mayApplyParts) training.apply(summed.gradients);
    else outputs = training.plain();
    const losses = [summed.outputs[0], outputs[0]].filter((loss) => loss !== undefined);
    this.#read(step, training, parts, summed, losses);
    tf.dispose([summed.gradients, summed.rows, mayApplyParts ? [] : summed.outputs]);
    return outputs;
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
