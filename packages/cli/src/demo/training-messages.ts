import type { RunDeclarationInput } from "@noisescale/protocol";

/** What the demo asks of the thread that trains. */
export interface TrainingOrder {
  readonly collectorUrl: string;
  readonly run: string;
  readonly declaration: RunDeclarationInput;
  readonly spoolDirectory?: string | undefined;
  /** Of the first step; of all, unless the training follows the recommendation. */
  readonly batchSize: number;
  readonly learningRate: number;
  /** Digits after which training ends. */
  readonly examples: number;
  /** Training ends earlier, at the first accuracy on the held-back digits that is as high. */
  readonly untilAccuracy?: number;
  /** The batch size follows the recommendation, in steps of so many digits. */
  readonly follow?: { readonly microBatch: number; readonly maxAccumulation: number };
  /** Digits that are held back from training. */
  readonly testCount: number;
  /** Every how many steps the two squared norms are taken. */
  readonly measureEvery: number;
  /** Every how many steps B_noise is measured too; never where it is left out. */
  readonly hessianEvery?: number;
  readonly seed: number;
}

/** A step from which on another batch size and rate were used. */
export interface TrainingChange {
  readonly step: number;
  readonly examples: number;
  readonly batchSize: number;
  readonly learningRate: number;
  /** What was recommended; the change may stop short of it. */
  readonly recommended: number | null;
}

/** What that thread tells the demo. */
export type TrainingMessage =
  | {
      readonly kind: "progress";
      readonly step: number;
      /** Trained so far, of `totalExamples`. */
      readonly examples: number;
      readonly totalExamples: number;
      readonly batchSize: number;
      readonly loss: number;
    }
  | { readonly kind: "warning"; readonly message: string }
  | {
      readonly kind: "done";
      readonly steps: number;
      readonly examples: number;
      readonly testAccuracy: number;
      /** True if `untilAccuracy` ended the training. */
      readonly reached: boolean;
      readonly changes: readonly TrainingChange[];
      readonly trainingSeconds: number;
      readonly backend: string;
    };
