/** What a batch size counts. */
export type Unit = "example" | "token" | "timestep";

type Known = number | null;

/** The numbers of a run that the panels show, as the collector's snapshot names them. Unknown is null. */
export interface PanelSnapshot {
  readonly unit: Unit;
  readonly optimizer: "sgd" | "adam" | "other" | null;
  readonly step: Known;
  readonly measurements: number;
  readonly batch_size: Known;
  readonly b_simple: Known;
  readonly b_simple_low: Known;
  readonly b_simple_high: Known;
  readonly identifiable: boolean;
  readonly gradient_squared_norm: Known;
  readonly covariance_trace: Known;
  /** tr(HΣ)/(GᵀHG), only where the hook measures it. */
  readonly b_noise: Known;
  readonly b_noise_low: Known;
  readonly b_noise_high: Known;
  /** In the optimizer's metric, only where the hook measures it. */
  readonly b_preconditioned: Known;
  readonly b_preconditioned_low: Known;
  readonly b_preconditioned_high: Known;
  /** Units of the data set whose own gradient is the signal; null: that of all data there might be. */
  readonly dataset_units: Known;
  readonly efficiency: Known;
  readonly predicted: {
    readonly min_steps: Known;
    readonly min_steps_low: Known;
    readonly min_steps_high: Known;
    readonly min_units: Known;
    readonly min_units_low: Known;
    readonly min_units_high: Known;
    readonly critical_batch_size: Known;
    readonly critical_batch_size_low: Known;
    readonly critical_batch_size_high: Known;
    /** γ of a batch size that follows the noise scale. */
    readonly adaptive_gain: Known;
    /** The noise scale that it was made of. */
    readonly basis: "b_noise" | "b_simple";
  };
  readonly recommendation: {
    readonly batch_size: Known;
    readonly batch_size_low: Known;
    readonly batch_size_high: Known;
    readonly basis: "frontier" | "b_noise" | "b_simple_calibrated" | "b_simple";
    readonly target: string | null;
    readonly calibrated: boolean;
    readonly critical_batch_size: Known;
    readonly critical_batch_size_low: Known;
    readonly critical_batch_size_high: Known;
    /** As the run declares it; null where it does not. */
    readonly latency_ratio: Known;
    readonly learning_rate_factor: Known;
    /** The learning rate over the batch size is being changed: the batch size stands as it stood. */
    readonly held_back: "learning_rate" | null;
  };
  /** Only where the hook measures layers. */
  readonly layers?: Readonly<Record<string, LayerNumbers>>;
  readonly warnings: readonly { readonly code: string; readonly message: string }[];
}

/** One layer's noise scale. */
export interface LayerNumbers {
  readonly b_simple: Known;
  readonly b_simple_low: Known;
  readonly b_simple_high: Known;
  /** This layer's part of the layers' summed tr Σ. */
  readonly covariance_trace_share: Known;
}

export type SeriesColumnName =
  | "b_simple"
  | "b_simple_low"
  | "b_simple_high"
  | "gradient_squared_norm"
  | "covariance_trace"
  | "recommended_batch_size"
  | "batch_size"
  | "b_noise"
  | "b_noise_low"
  | "b_noise_high"
  | "b_preconditioned"
  | "loss"
  | "learning_rate";

/** Columns that the panels draw. */
export const panelColumns: readonly SeriesColumnName[] = [
  "b_simple",
  "b_simple_low",
  "b_simple_high",
  "gradient_squared_norm",
  "covariance_trace",
  "recommended_batch_size",
  "batch_size",
  "b_noise",
  "b_noise_low",
  "b_noise_high",
  "b_preconditioned",
  "loss",
  "learning_rate",
];

/** Columns of one length, in step order; a gap is null. */
export interface PanelSeries {
  readonly step: readonly number[];
  readonly columns: { readonly [Column in SeriesColumnName]?: readonly Known[] | undefined };
}

/** Something that a run was watched for, as the collector's wire names it. */
export interface PanelAlert {
  readonly rule: string;
  readonly severity: "info" | "warning" | "error";
  readonly title: string;
  readonly step: number;
  /** Null while it lasts; the same as `step` where it was of one moment. */
  readonly ended_step: Known;
}

/** One run as the panels show it. */
export interface PanelData {
  /** Free text; drawn and written as text only. */
  readonly name: string;
  readonly snapshot: PanelSnapshot;
  readonly series: PanelSeries;
  /** Other runs of the group, drawn behind in panel 1. */
  readonly overlay?: readonly { readonly name: string; readonly series: PanelSeries }[];
  /** In the order in which they were raised. */
  readonly alerts?: readonly PanelAlert[];
}

/** Words for one and for many. */
export const unitWords: Readonly<Record<Unit, string>> = {
  example: "examples",
  token: "tokens",
  timestep: "time steps",
};
