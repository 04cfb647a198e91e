import type { RunDeclarationInput } from "@noisescale/protocol";

/** What the demo asks of the thread that trains. */
export interface TrainingOrder {
  readonly collectorUrl: string;
  readonly run: string;
  readonly declaration: RunDeclarationInput;
  readonly spoolDirectory: string;
  readonly batchSize: number;
  readonly epochs: number;
  readonly learningRate: number;
  /** Pictures that are held back from training. */
  readonly testCount: number;
  /** Every how many steps the two squared norms are taken. */
  readonly measureEvery: number;
  readonly seed: number;
}

/** What that thread tells the demo. */
export type TrainingMessage =
  | { readonly kind: "progress"; readonly step: number; readonly totalSteps: number; readonly loss: number }
  | { readonly kind: "warning"; readonly message: string }
  | {
      readonly kind: "done";
      readonly steps: number;
      readonly testAccuracy: number;
      readonly trainingSeconds: number;
      readonly backend: string;
    };
