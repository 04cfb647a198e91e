/** What the demo asks of the thread that trains. */
export interface TrainingOrder {
  readonly collectorUrl: string;
  readonly run: string;
  readonly project: string;
  readonly trackers: readonly { readonly name: string; readonly run: Readonly<Record<string, unknown>> }[];
  readonly spoolDirectory: string;
  readonly batchSize: number;
  readonly epochs: number;
  readonly learningRate: number;
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
