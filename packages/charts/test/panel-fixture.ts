import type { PanelData, PanelSeries, PanelSnapshot } from "../src/index.ts";

/** A run of four measurements: identified, then only bounded from below, then identified again. */
export const series: PanelSeries = {
  step: [0, 10, 20, 30],
  columns: {
    b_simple: [100, null, 300, 400],
    b_simple_low: [50, 60, 200, 310],
    b_simple_high: [200, null, 500, 600],
    gradient_squared_norm: [2, -0.5, 0.5, 0.25],
    covariance_trace: [200, 150, 120, 100],
    recommended_batch_size: [96, null, 288, 416],
    batch_size: [128, 128, 128, 128],
    loss: [2.3, 1.5, 1, 0.8],
    learning_rate: [0.1, 0.1, 0.01, 0.01],
  },
};

export const snapshot: PanelSnapshot = {
  unit: "example",
  optimizer: "sgd",
  step: 30,
  measurements: 4,
  batch_size: 128,
  b_simple: 400,
  b_simple_low: 310,
  b_simple_high: 600,
  identifiable: true,
  gradient_squared_norm: 0.25,
  covariance_trace: 100,
  b_noise: null,
  b_noise_low: null,
  b_noise_high: null,
  b_preconditioned: null,
  b_preconditioned_low: null,
  b_preconditioned_high: null,
  dataset_units: null,
  efficiency: 400 / 528,
  predicted: {
    min_steps: 10,
    min_steps_low: 8,
    min_steps_high: 12,
    min_units: 2000,
    min_units_low: 1600,
    min_units_high: 2400,
    critical_batch_size: 200,
    critical_batch_size_low: 150,
    critical_batch_size_high: 260,
    adaptive_gain: 0.9025,
    basis: "b_simple",
  },
  recommendation: {
    batch_size: 416,
    batch_size_low: 320,
    batch_size_high: 608,
    basis: "b_simple",
    target: null,
    calibrated: false,
    critical_batch_size: 400,
    critical_batch_size_low: 310,
    critical_batch_size_high: 600,
    latency_ratio: null,
    learning_rate_factor: 1.5,
    held_back: null,
  },
  layers: {
    "2": { b_simple: 90, b_simple_low: 60, b_simple_high: 140, covariance_trace_share: 0.2 },
    hidden: { b_simple: 500, b_simple_low: 300, b_simple_high: 900, covariance_trace_share: 0.75 },
    __proto___bias: { b_simple: null, b_simple_low: 700, b_simple_high: null, covariance_trace_share: 0.05 },
  },
  warnings: [{ code: "uncalibrated", message: "Rests on B_simple alone." }],
};

export const data: PanelData = { name: "mnist-mlp", snapshot, series };

const rows = 400;
const along = <Value>(value: (part: number) => Value): Value[] =>
  Array.from({ length: rows }, (_, row) => value(row / rows));
const lossAt = (part: number): number => 0.2 + 2.1 * Math.exp(-4 * part);
const noiseScaleAt = (part: number): number => 200 / lossAt(part) ** 2;

/** A run long enough for every panel: B_simple is 200/loss², the batch doubles with its rate, and the rate is cut to a tenth. */
export const longRun: PanelData = {
  ...data,
  alerts: [
    {
      rule: "batch-too-small",
      severity: "warning",
      title: "The batch of 64 is too small",
      step: 900,
      ended_step: 1200,
    },
    { rule: "learning-rate-changed", severity: "info", title: "The learning rate moved", step: 1500, ended_step: 1500 },
    {
      rule: "batch-too-small",
      severity: "warning",
      title: "The batch of 128 is too small",
      step: 1600,
      ended_step: null,
    },
    { rule: "of-a-later-version", severity: "error", title: "Something else", step: 1700, ended_step: 1700 },
  ],
  series: {
    step: Array.from({ length: rows }, (_, row) => 5 * row),
    columns: {
      b_simple: along((part) => (part < 0.05 ? null : noiseScaleAt(part))),
      b_simple_low: along((part) => 0.8 * noiseScaleAt(part)),
      b_simple_high: along((part) => (part < 0.05 ? null : 1.3 * noiseScaleAt(part))),
      gradient_squared_norm: along((part) => 2 * lossAt(part)),
      covariance_trace: along((part) => 400 / lossAt(part)),
      recommended_batch_size: along((part) => (part < 0.05 ? null : Math.round(noiseScaleAt(part) / 32) * 32)),
      batch_size: along((part) => (part < 0.5 ? 64 : 128)),
      loss: along(lossAt),
      learning_rate: along((part) => (part < 0.5 ? 0.1 : part < 0.8 ? 0.2 : 0.02)),
    },
  },
};

/** The signal cannot be told from zero: only a lower bound is known. */
export const notIdentifiable: PanelSnapshot = {
  ...snapshot,
  b_simple: null,
  b_simple_low: 310,
  b_simple_high: null,
  identifiable: false,
  efficiency: null,
  recommendation: {
    ...snapshot.recommendation,
    batch_size: null,
    batch_size_low: 320,
    batch_size_high: null,
    critical_batch_size: null,
    critical_batch_size_high: null,
  },
  warnings: [
    { code: "not-identifiable", message: "The signal cannot be told from zero yet." },
    { code: "batch-norm", message: "The network has batch normalisation." },
  ],
};

/** Declared, and nothing measured. */
export const unmeasured: PanelSnapshot = {
  ...notIdentifiable,
  layers: {},
  step: null,
  measurements: 0,
  batch_size: null,
  b_simple_low: null,
  gradient_squared_norm: null,
  covariance_trace: null,
  predicted: {
    min_steps: null,
    min_steps_low: null,
    min_steps_high: null,
    min_units: null,
    min_units_low: null,
    min_units_high: null,
    critical_batch_size: null,
    critical_batch_size_low: null,
    critical_batch_size_high: null,
    adaptive_gain: null,
    basis: "b_simple",
  },
  recommendation: { ...notIdentifiable.recommendation, batch_size_low: null, critical_batch_size_low: null },
  warnings: [],
};

export const hostileName = '<img src=x onerror=alert(1)></script><script>alert(2)</script> __proto__ \u2028 & "quoted"';

/** The same run with B_noise and Adam's metric measured. */
export const withForms: PanelData = {
  ...data,
  snapshot: {
    ...snapshot,
    optimizer: "adam",
    b_noise: 120,
    b_noise_low: 90,
    b_noise_high: 170,
    b_preconditioned: 700,
    b_preconditioned_low: 500,
    b_preconditioned_high: 1100,
    predicted: { ...snapshot.predicted, basis: "b_noise" },
  },
  series: {
    ...series,
    columns: { ...series.columns, b_noise: [null, 60, 90, 120], b_preconditioned: [null, 400, 600, 700] },
  },
};
