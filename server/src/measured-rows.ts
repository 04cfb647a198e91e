import { efficiency, type MeasuredFrontiers, recommendationBasis, recommendedBatchSize } from "@noisescale/statistics";
import { toRunSettings } from "./run-settings.ts";
import { columnOf, seriesRowWidth, valueAt } from "./series-row.ts";
import type { RunRow } from "./store/store.ts";

/** Loaded beside a run's rows: what sweeps have measured. */
export interface MeasuredRun {
  readonly run: Pick<RunRow, "declaration">;
  readonly measured: MeasuredFrontiers;
}

/**
 * Rows of the series with what sweeps say of the run's project and group, in place.
 *
 * The fold knows the run alone: a calibration is made later than most measurements, and a replay of them must give the same
 * state whether or not there is one. So the stored rows hold the recommendation from the run alone, with the values that it
 * is made from, and where a sweep knows better it takes their place as the rows are read: one calibration is then good for
 * a whole line, without folding a project's runs again.
 */
export function applyMeasuredFrontiers(rows: Float64Array, { run, measured }: MeasuredRun): void {
  if (measured.calibration === undefined && (measured.frontiers ?? []).length === 0) return;
  const settings = toRunSettings(run.declaration);
  for (let row = 0; row < rows.length / seriesRowWidth; row += 1) {
    const at = (column: number): number | undefined => valueAt(rows, row, column) ?? undefined;
    const basis = recommendationBasis(
      {
        bSimple: { value: at(bSimple), low: at(bSimpleLow), high: at(bSimpleHigh) },
        bNoise: { value: at(bNoise), low: undefined, high: undefined },
        heldBSimple: at(heldBSimple),
        heldBNoise: undefined,
        // The only reason for which a row with a B_simple that is held recommends nothing.
        bNoiseKnownLately: at(recommended) === undefined && at(bSimple) !== undefined && at(heldBSimple) !== undefined,
        smoothedLoss: at(smoothedLoss),
      },
      measured,
    );
    // From the run alone: as it is stored.
    if (basis.basis === "b_noise" || basis.basis === "b_simple") continue;
    const batch = at(batchSize);
    rows[row * seriesRowWidth + recommended] =
      basis.held === undefined ? Number.NaN : recommendedBatchSize(basis.held, settings);
    rows[row * seriesRowWidth + useful] =
      basis.value === undefined || batch === undefined ? Number.NaN : efficiency(batch, basis.value);
  }
}

const bSimple = columnOf("b_simple");
const bSimpleLow = columnOf("b_simple_low");
const bSimpleHigh = columnOf("b_simple_high");
const bNoise = columnOf("b_noise");
const heldBSimple = columnOf("held_b_simple");
const smoothedLoss = columnOf("smoothed_loss");
const batchSize = columnOf("batch_size");
const recommended = columnOf("recommended_batch_size");
const useful = columnOf("efficiency");
