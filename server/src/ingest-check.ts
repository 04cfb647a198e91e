import { fieldErrors, type Measurement, measurementSchema, type Rejection } from "@noisescale/protocol";
import { covarianceTraceOf, gradientSquaredNormOf, type RunSettings, withoutReplacement } from "@noisescale/statistics";
import { type RunMeasurement, toRunMeasurement } from "./run-measurement.ts";

/** A good record of a request with its place there. */
export interface IndexedMeasurement {
  readonly index: number;
  readonly measurement: RunMeasurement;
  /** Names of its layers. */
  readonly layers?: readonly string[];
}

export interface CheckedRecords {
  readonly good: IndexedMeasurement[];
  readonly rejected: Rejection[];
}

/** A record as it came, or why its line could not be read. */
export type IncomingRecord = { readonly value: unknown } | { readonly unreadable: string };

/** @param firstIndex - place of the first record in the request */
export function checkRecords(
  records: readonly IncomingRecord[],
  firstIndex: number,
  settings: RunSettings,
): CheckedRecords {
  const checked: CheckedRecords = { good: [], rejected: [] };
  records.forEach((record, place) => {
    const index = firstIndex + place;
    if ("unreadable" in record) {
      checked.rejected.push({ index, path: "", message: record.unreadable });
      return;
    }
    const parsed = measurementSchema.safeParse(record.value);
    const errors = parsed.success ? overflows(parsed.data, settings) : fieldErrors(parsed.error);
    if (parsed.success && errors.length === 0) {
      const { layers } = parsed.data;
      const measurement = toRunMeasurement(parsed.data);
      checked.good.push(
        layers === undefined ? { index, measurement } : { index, measurement, layers: [...layers.keys()] },
      );
      return;
    }
    // One record, one rejection: its first field at fault, and how many more there are.
    const [first] = errors;
    const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : "";
    checked.rejected.push({
      index,
      path: first?.path ?? "",
      message: `${first?.message ?? "is not understood"}${more}`,
    });
  });
  return checked;
}

/**
 * Numbers that are finite but whose estimates or second moments are not: one of them would leave every average of the run
 * not finite for good.
 */
function overflows(measurement: Measurement, { datasetUnits }: RunSettings): { path: string; message: string }[] {
  const { small, big, layers, units, learning_rate: learningRate, hessian, preconditioned } = measurement;
  const tooLarge = (smallBatch: number, smallValue: number, bigBatch: number, bigValue: number): boolean => {
    const pair = {
      small: { batchSize: smallBatch, meanSquaredNorm: smallValue },
      big: { batchSize: bigBatch, squaredNorm: bigValue },
    };
    const trace = covarianceTraceOf(pair);
    const plain = gradientSquaredNormOf(pair);
    const signal = datasetUnits === undefined ? plain : withoutReplacement(plain, trace, datasetUnits);
    return !Number.isFinite(trace * trace) || !Number.isFinite((signal * bigBatch) ** 2);
  };
  const message = "is too large: the square of its estimate is not finite";
  if (tooLarge(small.batch_size, small.squared_norm, big.batch_size, big.squared_norm)) {
    return [{ path: "small.squared_norm", message }];
  }
  if (units !== undefined && !Number.isFinite(units * units)) return [{ path: "units", message }];
  if (learningRate !== undefined && !Number.isFinite(learningRate * learningRate)) {
    return [{ path: "learning_rate", message: "is too large: its square is not finite" }];
  }
  for (const [name, [smallSquaredNorm, bigSquaredNorm]] of layers ?? []) {
    if (tooLarge(small.batch_size, smallSquaredNorm, big.batch_size, bigSquaredNorm)) {
      return [{ path: `layers.${name}`, message }];
    }
  }
  for (const [name, form] of Object.entries({ hessian, preconditioned })) {
    if (form === undefined) continue;
    if (tooLarge(form.small.batch_size, form.small.value, form.big.batch_size, form.big.value)) {
      return [{ path: `${name}.small.value`, message }];
    }
  }
  return [];
}
