import type { AlertRule } from "@noisescale/protocol";
import type { AlertRow, StoreTransaction } from "../store/store.ts";
import type { AlertDraft } from "./alert-draft.ts";
import type { ProjectAlerts } from "./alert-settings.ts";
import { raiseAlert } from "./raise-alert.ts";

/** Rules that the fold decides: a replay decides them anew. */
const foldRules: ReadonlySet<AlertRule> = new Set<AlertRule>([
  "batch-too-large",
  "batch-too-small",
  "signal-lost",
  "noise-scale-jumped",
  "learning-rate-changed",
  "batch-size-changed",
]);

export interface FoldedAlerts {
  /** In order. */
  readonly drafts: readonly AlertDraft[];
  /** The last step before those that were folded; -1: all were. */
  readonly after: number;
  /** Whether there may be alerts of later steps already: the fold went over them again. */
  readonly replayed: boolean;
  /** From which step on a new alert is news; an earlier one only completes the history. */
  readonly newsFrom: number;
}

/**
 * Writes what a fold found into the run's history. A replay (a late measurement, other statistics, another declaration) finds
 * mostly what was found before, perhaps a few steps off: within an attempt the first alert of a rule is the first again, the
 * second the second, and nothing is told twice. What was told and is not found any more stays, and lasts no longer.
 *
 * @returns those that are to be sent
 */
export async function recordAlerts(
  transaction: StoreTransaction,
  runId: number,
  { drafts, after, replayed, newsFrom }: FoldedAlerts,
  settings: ProjectAlerts,
): Promise<readonly AlertRow[]> {
  if (drafts.length === 0 && !replayed) return [];
  const rows = (await transaction.alertsReaching(runId, after)).filter(({ rule }) => foldRules.has(rule));
  const standing = new Map(rows.filter(({ step }) => step <= after).map((row) => [row.rule, row]));
  const known = Map.groupBy(
    rows.filter(({ step }) => step > after),
    ({ attempt, rule }) => `${attempt} ${rule}`,
  );
  const ends = new Map<number, { readonly step: number; readonly timeMs: number }>();
  const made: AlertRow[] = [];
  for (const draft of drafts) {
    const { rule, attempt, step, timeMs } = draft;
    const before = standing.get(rule);
    if (before !== undefined) ends.set(before.number, { step, timeMs });
    standing.delete(rule);
    if (draft.kind === "ends") continue;
    const again = known.get(`${attempt} ${rule}`)?.shift();
    const row = again ?? (await insert(transaction, runId, draft, newsFrom, settings));
    if (again === undefined) made.push(row);
    if (draft.lasts) standing.set(rule, row);
    else ends.set(row.number, { step: row.step, timeMs: row.timeMs });
  }
  for (const row of [...known.values()].flat()) {
    if (row.endedStep === null) ends.set(row.number, { step: row.step, timeMs: row.timeMs });
  }
  const all = [...rows, ...made];
  for (const [number, ended] of ends) {
    const row = all.find((candidate) => candidate.number === number);
    if (row?.endedStep !== ended.step) await transaction.setAlertEnd(number, ended);
  }
  for (const { number, endedStep } of standing.values()) {
    if (endedStep !== null && !ends.has(number)) await transaction.setAlertEnd(number, null);
  }
  return made.filter(({ sent }) => sent);
}

function insert(
  transaction: StoreTransaction,
  runId: number,
  { attempt, step, timeMs, ...draft }: AlertDraft & { readonly kind: "begins" },
  newsFrom: number,
  settings: ProjectAlerts,
): Promise<AlertRow> {
  const { rule, severity, title, text, lasts } = draft;
  const ended = lasts ? { endedStep: null, endedTimeMs: null } : { endedStep: step, endedTimeMs: timeMs };
  const alert = { attempt, step, timeMs, rule, severity, title, text, ...ended };
  return raiseAlert(transaction, runId, alert, settings, step >= newsFrom);
}
