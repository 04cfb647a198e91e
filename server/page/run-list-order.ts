import type { RunSummary } from "@noisescale/protocol";

export const sortKeys = ["name", "state", "step", "b_simple", "batch_size", "time", "alert"] as const;
export type SortKey = (typeof sortKeys)[number];

export interface Order {
  readonly key: SortKey;
  readonly descending: boolean;
}

/** The latest first: a run that is live is what one came for. */
export const firstOrder: Order = { key: "time", descending: true };

/** A group's runs stand together; a run without a group stands alone. */
export interface RunRows {
  readonly group: string | undefined;
  readonly runs: readonly RunSummary[];
}

const states = ["live", "silent", "failed", "finished"];
const severities = ["info", "warning", "error"];

function sortValue(run: RunSummary, key: SortKey): string | number | null {
  switch (key) {
    case "name":
      return (run.name ?? run.run).toLowerCase();
    case "state":
      return states.indexOf(run.state);
    case "step":
      return run.step;
    case "b_simple":
      return run.b_simple ?? run.b_simple_low;
    case "batch_size":
      return run.batch_size;
    case "time":
      return run.time_ms;
    case "alert":
      return run.alert === null ? null : severities.indexOf(run.alert.severity);
  }
}

/** Unknown values come last in either direction; ties are in the order of the names. */
export function orderRuns(runs: readonly RunSummary[], { key, descending }: Order): RunSummary[] {
  return runs.toSorted((one, other) => {
    const [a, b] = [sortValue(one, key), sortValue(other, key)];
    if (a === null || b === null) return a === b ? compare(one.run, other.run) : a === null ? 1 : -1;
    return (descending ? compare(b, a) : compare(a, b)) || compare(one.run, other.run);
  });
}

/** Runs in order, folded by group; a group stands where its first run does. */
export function groupRuns(ordered: readonly RunSummary[]): RunRows[] {
  const groups = Map.groupBy(ordered, ({ run, group }) => (group === null ? `run ${run}` : `group ${group}`));
  return [...groups.values()].map((runs) => ({ group: runs[0]?.group ?? undefined, runs }));
}

function compare(a: string | number, b: string | number): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
