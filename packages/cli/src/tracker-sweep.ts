import { ConfigError, type ConfiguredTracker, configFileName, readConfigFile } from "@noisescale/server";
import { FirstCrossing } from "@noisescale/statistics";
import { CommandError, UsageError } from "./command.ts";
import type { SweepRow } from "./sweep-file.ts";

/** A target of a tracker's runs; `=` is met from whichever side the runs start. */
export interface MetricTarget {
  readonly metric: string;
  readonly comparison: "<=" | ">=" | "=";
  readonly value: number;
}

/** @param text - `metric<=value`, `metric>=value` or `metric=value`, several with commas */
export function metricTargets(text: string): readonly [MetricTarget, ...MetricTarget[]] {
  const [first, ...others] = text.split(",").map((part) => {
    const [, metric, comparison, number] = /^\s*([^<>=]+?)\s*(<=|>=|=)\s*(\S+)\s*$/.exec(part) ?? [];
    const value = Number(number);
    if (metric === undefined || !Number.isFinite(value)) {
      throw new UsageError(`--target must be such as "loss<=0.3" or "accuracy>=0.9", not ${JSON.stringify(part)}`);
    }
    return { metric, comparison: comparison as MetricTarget["comparison"], value };
  });
  if (first === undefined) throw new UsageError("--target is empty");
  const other = others.find(({ metric }) => metric !== first.metric);
  if (other !== undefined) {
    throw new UsageError(`--target must name one metric, not ${first.metric} and ${other.metric}`);
  }
  return [first, ...others];
}

/** A configured tracker that can be read; the caller closes it. */
export async function openTracker(name: string, configFile: string | undefined): Promise<ConfiguredTracker["tracker"]> {
  try {
    const trackers = await readConfigFile(configFile).openTrackers();
    const found = trackers.get(name)?.tracker;
    for (const { tracker } of trackers.values()) if (tracker !== found) await tracker.close();
    if (found !== undefined) return found;
    const names = trackers.size === 0 ? "none is" : `configured: ${[...trackers.keys()].join(", ")}`;
    throw new CommandError(
      `No tracker ${JSON.stringify(name)} is configured (${names}): name it in ${configFileName}, or set MLFLOW_TRACKING_URI for mlflow.`,
    );
  } catch (error) {
    if (error instanceof ConfigError || error instanceof RangeError) throw new CommandError(error.message);
    throw error;
  }
}

export type TrackerSweep = ReturnType<NonNullable<ConfiguredTracker["tracker"]["openSweep"]>>;

/** @throws CommandError where the tracker cannot be read back; TrackerError outside of its configuration */
export function openSweep(tracker: ConfiguredTracker["tracker"], experiment: string): TrackerSweep {
  const sweep = tracker.openSweep?.(experiment);
  if (sweep === undefined) throw new CommandError(`Runs cannot be read back from ${tracker.kind}; mlflow can.`);
  return sweep;
}

/** Names of the parameters that runs were logged with. */
export interface SweepParams {
  readonly batchSize: string;
  readonly learningRate: string;
}

/** What an experiment's runs say of its targets. */
export interface TrackedSweep {
  readonly rows: readonly SweepRow[];
  /** Runs that say nothing, and why. */
  readonly leftOut: readonly string[];
}

/**
 * When each run of an experiment first met each target, on the straight line between the two values around it.
 *
 * @throws CommandError where no run can be used; TrackerError where the experiment cannot be read
 */
export async function readTrackedSweep(
  sweep: TrackerSweep,
  experiment: string,
  targets: readonly [MetricTarget, ...MetricTarget[]],
  params: SweepParams,
): Promise<TrackedSweep> {
  const rows: SweepRow[] = [];
  const leftOut: string[] = [];
  for await (const { id, name, params: logged, values } of sweep.curves(targets[0].metric)) {
    const label = name === "" ? id : `${name} (${id})`;
    const batchSize = positive(logged.get(params.batchSize));
    const [first] = values;
    if (batchSize === undefined) {
      leftOut.push(`${label}: its parameter ${params.batchSize} ${said(logged.get(params.batchSize))}`);
    } else if (first === undefined) {
      leftOut.push(`${label}: it never logged ${targets[0].metric}`);
    } else {
      const learningRate = positive(logged.get(params.learningRate));
      for (const target of targets) {
        const comparison = target.comparison === "=" ? (first.value > target.value ? "<=" : ">=") : target.comparison;
        const crossing = new FirstCrossing({ comparison, value: target.value });
        for (const { step, value } of values) crossing.add(step, value);
        if (crossing.metAtFirst) {
          leftOut.push(`${label}: the first ${target.metric} that it logged meets ${target.value} already`);
        } else rows.push({ batchSize, learningRate, target: target.value, steps: crossing.step });
      }
    }
  }
  if (rows.length === 0) {
    throw new CommandError(
      [`No run of the experiment ${JSON.stringify(experiment)} can be used.`, ...leftOut].join("\n  "),
    );
  }
  return { rows: withOneKindOfRate(rows, leftOut, params.learningRate), leftOut };
}

/** Learning rates count only where every run has one: those without could not be told apart from the others. */
function withOneKindOfRate(rows: readonly SweepRow[], leftOut: string[], param: string): readonly SweepRow[] {
  const rated = rows.filter(({ learningRate }) => learningRate !== undefined);
  if (rated.length === 0 || rated.length === rows.length) return rows;
  leftOut.push(
    `${rows.length - rated.length} of ${rows.length} readings: their runs have no parameter ${param}, others have`,
  );
  return rated;
}

function positive(text: string | undefined): number | undefined {
  const value = text === undefined || text.trim() === "" ? Number.NaN : Number(text);
  return value > 0 && Number.isFinite(value) ? value : undefined;
}

function said(text: string | undefined): string {
  return text === undefined ? "was not logged" : `is ${JSON.stringify(text)}, no number above 0`;
}
