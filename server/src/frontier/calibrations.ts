import { setImmediate as nextTurn } from "node:timers/promises";
import type { CalibrationAnswer, FrontierTarget } from "@noisescale/protocol";
import { type CalibrationRun, calibrate } from "@noisescale/statistics";
import { ProblemError } from "../problem.ts";
import { columnOf, seriesRowWidth, stepColumn } from "../series-row.ts";
import type { Store } from "../store/store.ts";
import type { FittedGroup, GroupFrontiers } from "./group-frontiers.ts";

/** Calibrations of projects: made from a group's fitted frontier and its runs' own B_simple. */
export class Calibrations {
  readonly #store: Store;
  readonly #frontiers: GroupFrontiers;

  constructor(store: Store, frontiers: GroupFrontiers) {
    this.#store = store;
    this.#frontiers = frontiers;
  }

  /**
   * Makes the project's calibration and keeps it; the one before stays where this one cannot be made.
   *
   * @throws ProblemError as `GroupFrontiers.fit` does, and 422 where the runs show no noise scale at enough batch sizes
   */
  async make(project: string, group: string, target: FrontierTarget): Promise<CalibrationAnswer> {
    const { answer: fitted, used } = await this.#frontiers.keep(group, target, project);
    const runs: CalibrationRun[] = [];
    for (const crossing of used) {
      runs.push(await this.#readRun(crossing));
      // Other requests have their turn between two runs.
      await nextTurn();
    }
    const { frontier } = fitted;
    const calibration = calibrate(runs, {
      criticalBatchSize: frontier.critical_batch_size,
      criticalBatchSizeLow: frontier.critical_batch_size_low ?? undefined,
      criticalBatchSizeHigh: frontier.critical_batch_size_high ?? undefined,
    });
    if (!calibration.calibrated) throw new ProblemError(422, "No calibration", calibration.reason);
    const ratios = used.map(({ run }, i) => ({ run: run.run, ratio: calibration.ratios[i] }));
    const without = ratios.filter(({ ratio }) => ratio === undefined).map(({ run }) => run);
    const made: CalibrationAnswer = {
      project,
      group,
      target: target.text,
      ratio: calibration.ratio,
      ratio_low: calibration.ratioLow ?? null,
      ratio_high: calibration.ratioHigh ?? null,
      critical_batch_size: frontier.critical_batch_size,
      critical_batch_size_low: frontier.critical_batch_size_low,
      critical_batch_size_high: frontier.critical_batch_size_high,
      runs: used.flatMap(({ run, batchSize }, i) => {
        const ratio = calibration.ratios[i];
        return ratio === undefined ? [] : [{ run: run.run, batch_size: batchSize, ratio }];
      }),
      warnings: [
        ...frontier.warnings,
        ...fitted.warnings,
        ...(without.length === 0 ? [] : [`Too little signal for a ratio of their own: ${without.join(", ")}.`]),
      ],
      time_ms: Date.now(),
    };
    await this.#store.transaction((transaction) => transaction.putCalibration(made));
    return made;
  }

  /** 1/B_simple over the run's steps up to the target, as the predicted frontier takes them. */
  async #readRun({ run, steps, batchSize }: FittedGroup["used"][number]): Promise<CalibrationRun> {
    const own: number[] = [];
    const inverse: number[] = [];
    let waiting = 0;
    let lastStep = -1;
    for await (const { rows } of this.#store.series(run.id, { from: 0, to: Math.ceil(steps) })) {
      for (let at = 0; at < rows.length; at += seriesRowWidth) {
        const step = rows[at + stepColumn] as number;
        if (step > steps) break;
        waiting += lastStep < 0 ? 1 : step - lastStep;
        lastStep = step;
        // The steps before the filter's start count at its first value.
        const x = (rows[at + signal] as number) / (rows[at + noise] as number);
        if (!Number.isFinite(x)) continue;
        own.push(waiting);
        inverse.push(Math.max(0, x));
        waiting = 0;
      }
    }
    return { batchSize, steps: Float64Array.from(own), inverseNoiseScale: Float64Array.from(inverse) };
  }
}

const signal = columnOf("gradient_squared_norm");
const noise = columnOf("covariance_trace");
