import type { Unit } from "@noisescale/protocol";
import type { NoiseScaleInterval, Recommendation, RunChange, RunPoint } from "@noisescale/statistics";
import type { AlertDraft, AlertMessageDraft, AlertMoment } from "./alert-draft.ts";
import type { ProjectAlerts } from "./alert-settings.ts";

/** What a change's message is made of. */
export interface ChangeContext {
  readonly unit: Unit;
  readonly point: RunPoint;
  /** The recommendation at that measurement; asked for only where there is a message to make. */
  recommendation(): Recommendation;
  readonly settings: ProjectAlerts;
}

const units: Readonly<Record<Unit, string>> = { example: "examples", token: "tokens", timestep: "time steps" };
const bases: Readonly<Record<Recommendation["basis"], string>> = {
  frontier: "the group's fitted frontier",
  b_noise: "B_noise",
  b_simple_calibrated: "B_simple with the project's calibration",
  b_simple: "B_simple",
};

/** What the run's watch and its settings' steps have made known with one measurement, as messages. */
export function changeDrafts(
  changes: readonly RunChange[],
  moment: AlertMoment,
  context: ChangeContext,
): readonly AlertDraft[] {
  const { settingChange } = context.point;
  if (changes.length === 0 && settingChange === undefined) return [];
  const drafts = [...changes.flatMap((change) => ofChange(change, moment, context)), ...ofSettings(moment, context)];
  return drafts.filter(({ kind, rule }) => kind === "ends" || !context.settings.off.has(rule));
}

function ofChange(change: RunChange, moment: AlertMoment, context: ChangeContext): AlertDraft[] {
  switch (change.kind) {
    case "batch_size":
      return batchSizeDrafts(change, moment, context);
    case "signal":
      if (change.state === "found") return [{ ...moment, kind: "ends", rule: "signal-lost" }];
      return [{ ...moment, kind: "begins", lasts: true, ...signalLost(change.last, context) }];
    case "jump":
      return [{ ...moment, kind: "begins", lasts: false, ...jumped(change.before, context) }];
  }
}

function batchSizeDrafts(
  { verdict, uncalibrated }: RunChange & { kind: "batch_size" },
  moment: AlertMoment,
  context: ChangeContext,
): AlertDraft[] {
  const ends = (["batch-too-large", "batch-too-small"] as const).map(
    (rule): AlertDraft => ({ ...moment, kind: "ends", rule }),
  );
  if (verdict === "fine") return ends;
  const severity = uncalibrated && !context.settings.uncalibrated ? "info" : "warning";
  const message = batchSizeMessage(verdict, severity, context);
  return [...ends, { ...moment, kind: "begins", lasts: true, ...message }];
}

function batchSizeMessage(
  verdict: "too_large" | "too_small",
  severity: AlertMessageDraft["severity"],
  { unit, point, recommendation }: ChangeContext,
): AlertMessageDraft {
  const now = recommendation();
  const { batchSize: current } = point;
  const { batchSize: wanted, batchSizeLow: low, batchSizeHigh: high } = now;
  const large = verdict === "too_large";
  const end = large ? high : low;
  const times =
    end === undefined
      ? ""
      : ` is ${rounded(large ? current / end : end / current)} times ${large ? "larger than the most" : "smaller than the least"} that`;
  const range =
    low === undefined || high === undefined
      ? `at least ${rounded(low ?? high ?? current)} ${units[unit]}; there is no upper bound`
      : `${wanted === undefined ? "" : `${rounded(wanted)} ${units[unit]}, `}95 % between ${rounded(low)} and ${rounded(high)}`;
  const [row, old] = [wanted, current].map((size) => now.trade.find(({ batchSize }) => batchSize === size));
  const trade =
    wanted === undefined || row === undefined || old === undefined
      ? ""
      : ` A batch of ${rounded(wanted)} would take ${rounded(row.stepsFactor / old.stepsFactor)} times the steps for ${rounded(row.unitsFactor / old.unitsFactor)} times the ${units[unit]}.`;
  const rate =
    now.learningRateFactor === undefined
      ? " Set the learning rate anew with it."
      : ` Multiply the learning rate by ${rounded(now.learningRateFactor)} with it.`;
  const what = wanted === undefined ? " Raise it." : `${trade}${rate}`;
  const indicator =
    now.basis !== "b_simple"
      ? ""
      : " This is an indicator: no sweep of this project says yet how the noise scale compares with the batch size that costs the least.";
  return {
    rule: large ? "batch-too-large" : "batch-too-small",
    severity,
    title: `The batch of ${rounded(current)} is ${large ? "too large" : "too small"}${wanted === undefined ? "" : `: ${rounded(wanted)} is recommended`}`,
    text: `The batch of ${rounded(current)}${times} ${bases[now.basis]} recommends (${range}).${what}${indicator}`,
  };
}

function signalLost(
  last: NoiseScaleInterval | undefined,
  { unit, point: { bSimpleLow } }: ChangeContext,
): AlertMessageDraft {
  const before = last === undefined ? "" : ` It was last ${intervalText(last)} ${units[unit]}.`;
  const bound = bSimpleLow === undefined ? "is not known" : `is at least ${rounded(bSimpleLow)} ${units[unit]}`;
  return {
    rule: "signal-lost",
    severity: "warning",
    title: "The gradient's signal is lost in its noise",
    text: `B_simple ${bound}, without an upper bound: the gradient cannot be told from zero any more.${before} If the loss no longer falls, training has come to what this batch and learning rate reach: a larger batch or a smaller learning rate goes further.`,
  };
}

function jumped(before: NoiseScaleInterval, { unit, point }: ChangeContext): AlertMessageDraft {
  const { bSimple, bSimpleLow, bSimpleHigh } = point;
  const known = bSimple !== undefined && bSimpleLow !== undefined && bSimpleHigh !== undefined;
  const now = known ? intervalText({ bSimple, bSimpleLow, bSimpleHigh }) : `at least ${rounded(bSimpleLow ?? 0)}`;
  const to = bSimple ?? bSimpleLow ?? before.bSimple;
  return {
    rule: "noise-scale-jumped",
    severity: "warning",
    title: `B_simple jumped from ${rounded(before.bSimple)} to ${known ? "" : "at least "}${rounded(to)}`,
    text: `Within some 200 measurements B_simple went from ${intervalText(before)} to ${now} ${units[unit]}, while learning rate and batch size stayed as they were. Look at the loss, and at what changed in the data or the model.`,
  };
}

function ofSettings(moment: AlertMoment, { unit, point }: ChangeContext): AlertDraft[] {
  const change = point.settingChange;
  if (change === undefined) return [];
  const { step, learningRateFactor: rate, batchSizeFactor: batch } = change;
  const text =
    "B_simple moves with the learning rate over the batch size: what it does now is no change of the data, and the recommendation waits for it.";
  const draft = (
    rule: "learning-rate-changed" | "batch-size-changed",
    what: string,
    factor: number | undefined,
    now: string,
  ): AlertDraft[] => {
    if (factor === undefined) return [];
    const title = `The ${what} was multiplied by ${rounded(factor)} at step ${step.toLocaleString("en-US")}`;
    return [
      { ...moment, kind: "begins", lasts: false, rule, severity: "info", title, text: `${title}${now}. ${text}` },
    ];
  };
  return [
    ...draft("learning-rate-changed", "learning rate", rate, ""),
    ...draft("batch-size-changed", "batch size", batch, `: it is ${rounded(point.batchSize)} ${units[unit]} now`),
  ];
}

function intervalText({ bSimple, bSimpleLow, bSimpleHigh }: NoiseScaleInterval): string {
  return `${rounded(bSimple)} (95 % between ${rounded(bSimpleLow)} and ${rounded(bSimpleHigh)})`;
}

/** Three digits, or all of a whole number below a million. */
function rounded(value: number): string {
  const kept = Number.isInteger(value) && value < 1e6 ? value : Number(value.toPrecision(3));
  return kept >= 1000 && kept < 1e9 ? kept.toLocaleString("en-US") : String(kept);
}
