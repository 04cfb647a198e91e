import type { Measurement } from "@noisescale/protocol";
import type { Observation, QuadraticFormPair } from "@noisescale/statistics";

/** A measurement as it is stored: what the estimators and the series need as numbers, the rest as one text. */
export interface RunMeasurement {
  readonly attempt: number;
  readonly step: number;
  readonly timeMs: number;
  /** Units that the step consumed; null where the hook left it out. */
  readonly units: number | null;
  readonly smallBatchSize: number;
  readonly smallMeanSquaredNorm: number;
  readonly smallCount: number;
  readonly bigBatchSize: number;
  readonly bigSquaredNorm: number;
  readonly loss: number | null;
  readonly learningRate: number | null;
  /** JSON of `NamedNumbers`, what only some measurements have; null where there is none of it. */
  readonly named: string | null;
}

/** Small and big batch size and value of a quadratic form. */
type FormNumbers = readonly [smallBatchSize: number, smallValue: number, bigBatchSize: number, bigValue: number];

/** Layers and evaluations as lists of entries: the names are free text. */
interface NamedNumbers {
  readonly layers?: readonly (readonly [string, readonly [number, number]])[];
  readonly evaluations?: readonly (readonly [string, number])[];
  readonly hessian?: FormNumbers;
  readonly preconditioned?: FormNumbers;
}

const byName = (one: readonly [string, unknown], other: readonly [string, unknown]): number =>
  one[0] < other[0] ? -1 : one[0] > other[0] ? 1 : 0;

function namedNumbers({ layers, evaluations, hessian, preconditioned }: Measurement): string | null {
  // Sorted, so that a resend from a sender that orders its names differently is still the same measurement.
  const named: NamedNumbers = {
    ...(layers === undefined ? {} : { layers: [...layers].sort(byName) }),
    ...(evaluations === undefined ? {} : { evaluations: [...evaluations].sort(byName) }),
    ...(hessian === undefined ? {} : { hessian: formNumbers(hessian) }),
    ...(preconditioned === undefined ? {} : { preconditioned: formNumbers(preconditioned) }),
  };
  return Object.keys(named).length === 0 ? null : JSON.stringify(named);
}

function formNumbers({ small, big }: NonNullable<Measurement["hessian"]>): FormNumbers {
  return [small.batch_size, small.value, big.batch_size, big.value];
}

export function toRunMeasurement(measurement: Measurement): RunMeasurement {
  return {
    attempt: measurement.attempt,
    step: measurement.step,
    timeMs: measurement.time_ms,
    units: measurement.units ?? null,
    smallBatchSize: measurement.small.batch_size,
    smallMeanSquaredNorm: measurement.small.squared_norm,
    smallCount: measurement.small.count,
    bigBatchSize: measurement.big.batch_size,
    bigSquaredNorm: measurement.big.squared_norm,
    loss: measurement.loss ?? null,
    learningRate: measurement.learning_rate ?? null,
    named: namedNumbers(measurement),
  };
}

/** What the estimators read of a measurement. */
export function toObservation(measurement: RunMeasurement): Observation {
  const observation = {
    step: measurement.step,
    units: measurement.units ?? measurement.bigBatchSize,
    small: { batchSize: measurement.smallBatchSize, meanSquaredNorm: measurement.smallMeanSquaredNorm },
    big: { batchSize: measurement.bigBatchSize, squaredNorm: measurement.bigSquaredNorm },
    learningRate: measurement.learningRate ?? undefined,
    loss: measurement.loss ?? undefined,
  };
  if (measurement.named === null) return observation;
  const { layers, hessian, preconditioned } = JSON.parse(measurement.named) as NamedNumbers;
  return {
    ...observation,
    ...(layers === undefined ? {} : { layers: new Map(layers) }),
    ...(hessian === undefined ? {} : { hessian: toForm(hessian) }),
    ...(preconditioned === undefined ? {} : { preconditioned: toForm(preconditioned) }),
  };
}

function toForm([smallBatchSize, smallValue, bigBatchSize, bigValue]: FormNumbers): QuadraticFormPair {
  return {
    small: { batchSize: smallBatchSize, value: smallValue },
    big: { batchSize: bigBatchSize, value: bigValue },
  };
}

/** Names and values of the evaluations. */
export function evaluationsOf({ named }: RunMeasurement): NonNullable<NamedNumbers["evaluations"]> {
  // Looked for before it is read: layers make the text long.
  if (named === null || !named.includes('"evaluations"')) return [];
  return (JSON.parse(named) as NamedNumbers).evaluations ?? [];
}

/** The measurement as it is written on the wire. */
export function toWireMeasurement(measurement: RunMeasurement): Record<string, unknown> {
  const named = measurement.named === null ? {} : (JSON.parse(measurement.named) as NamedNumbers);
  return {
    step: measurement.step,
    time_ms: measurement.timeMs,
    attempt: measurement.attempt,
    ...(measurement.units === null ? {} : { units: measurement.units }),
    small: {
      batch_size: measurement.smallBatchSize,
      squared_norm: measurement.smallMeanSquaredNorm,
      count: measurement.smallCount,
    },
    big: { batch_size: measurement.bigBatchSize, squared_norm: measurement.bigSquaredNorm },
    ...(measurement.loss === null ? {} : { loss: measurement.loss }),
    ...(measurement.learningRate === null ? {} : { learning_rate: measurement.learningRate }),
    ...(named.evaluations === undefined ? {} : { evaluations: Object.fromEntries(named.evaluations) }),
    ...(named.layers === undefined ? {} : { layers: Object.fromEntries(named.layers) }),
    ...(named.hessian === undefined ? {} : { hessian: toWireForm(named.hessian) }),
    ...(named.preconditioned === undefined ? {} : { preconditioned: toWireForm(named.preconditioned) }),
  };
}

function toWireForm([smallBatchSize, smallValue, bigBatchSize, bigValue]: FormNumbers): Measurement["hessian"] {
  return {
    small: { batch_size: smallBatchSize, value: smallValue },
    big: { batch_size: bigBatchSize, value: bigValue },
  };
}
