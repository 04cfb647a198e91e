import { panelColumns } from "@noisescale/charts";
import type {
  AlertList,
  GroupFrontierAnswer,
  Problem,
  RunDetail,
  RunFrontierAnswer,
  RunSummary,
  Series,
  Snapshot,
} from "@noisescale/protocol";
import { seriesPoints } from "./series-growth.ts";

/** The collector answered, and refused. */
export class RefusedError extends Error {
  override readonly name = "RefusedError";
  readonly status: number;
  /** What was wrong with each field or run. */
  readonly errors: NonNullable<Problem["errors"]>;

  constructor(status: number, message: string, errors: Problem["errors"] = []) {
    super(message);
    this.status = status;
    this.errors = errors;
  }
}

export function runAddress(run: string, rest = ""): string {
  return `/v1/runs/${encodeURIComponent(run)}${rest}`;
}

export async function fetchRuns(signal: AbortSignal): Promise<readonly RunSummary[]> {
  return (await read<{ runs: RunSummary[] }>("/v1/runs", signal)).runs;
}

export function fetchRun(run: string, signal: AbortSignal): Promise<RunDetail> {
  return read(runAddress(run), signal);
}

export function fetchSnapshot(run: string, signal: AbortSignal): Promise<Snapshot> {
  return read(runAddress(run, "/snapshot"), signal);
}

export function fetchAlerts(signal: AbortSignal): Promise<AlertList> {
  return read("/v1/alerts", signal);
}

/** @param from - first step */
export function fetchSeries(run: string, from: number, signal: AbortSignal): Promise<Series> {
  const query = new URLSearchParams({ metrics: panelColumns.join(","), points: String(seriesPoints) });
  if (from > 0) query.set("from", String(from));
  return read(runAddress(run, `/series?${query}`), signal);
}

export function fetchRunFrontier(run: string, signal: AbortSignal): Promise<RunFrontierAnswer> {
  return read(runAddress(run, "/frontier"), signal);
}

/** Fits the group's frontier; the collector keeps it as a basis of the runs' recommendations. */
export function fitGroupFrontier(
  group: string,
  target: string,
  project: string,
  signal: AbortSignal,
): Promise<GroupFrontierAnswer> {
  const query = new URLSearchParams({ target, project });
  return read(`/v1/groups/${encodeURIComponent(group)}/frontier?${query}`, signal, "PUT");
}

/**
 * @throws RefusedError where the collector refuses
 * @throws TypeError where it does not answer
 */
async function read<Answer>(address: string, signal: AbortSignal, method: "GET" | "PUT" = "GET"): Promise<Answer> {
  const response = await fetch(address, { method, signal, headers: { accept: "application/json" } });
  if (response.ok) return response.json() as Promise<Answer>;
  const problem = (await response.json().catch(() => undefined)) as Problem | undefined;
  throw new RefusedError(
    response.status,
    problem?.detail ?? `The collector answered ${response.status}.`,
    problem?.errors,
  );
}
