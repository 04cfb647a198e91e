import { estimateText } from "./number-text.ts";
import { unitWords } from "./panel-data.ts";
import type { PanelConfiguration } from "./panel-frame.ts";
import { criticalBatchSizePanel, criticalBatchSizeText } from "./panels/critical-batch-size.ts";
import { sweepFrontierPanel, sweepFrontierText } from "./panels/sweep-frontier.ts";
import type { SweepData } from "./sweep-data.ts";
import type { Theme } from "./theme.ts";

export const sweepPanelNames = ["sweep-frontier", "critical-batch-size"] as const;
export type SweepPanelName = (typeof sweepPanelNames)[number];

export function isSweepPanelName(name: string): name is SweepPanelName {
  return sweepPanelNames.some((panel) => panel === name);
}

/** A panel of a sweep: what is drawn, in words and as a Chart.js configuration. */
export interface SweepPanel {
  readonly title: string;
  /** A line that says what is drawn. */
  readonly subtitle: string;
  readonly configuration: (data: SweepData, theme: Theme) => PanelConfiguration;
  /** The panel's numbers in words, for readers who do not see it. */
  readonly text: (data: SweepData) => string;
}

export const sweepPanels: Readonly<Record<SweepPanelName, SweepPanel>> = {
  "sweep-frontier": {
    title: "Time against compute",
    subtitle: "fitted to a sweep, a dot a run, with outer bounds; in the ring both are twice the least",
    configuration: sweepFrontierPanel,
    text: sweepFrontierText,
  },
  "critical-batch-size": {
    title: "Critical batch size against loss",
    subtitle: "one fitted frontier a target, with its 95 % interval; dashed: the power law through them",
    configuration: criticalBatchSizePanel,
    text: criticalBatchSizeText,
  },
};

/** Those with something to draw: one target has no power law to be shown with. */
export function panelsOfSweep({ targets }: SweepData): SweepPanelName[] {
  return targets.length > 1 ? [...sweepPanelNames] : targets.length === 1 ? ["sweep-frontier"] : [];
}

/** What a sweep says at its last target, and what that rests on. */
export function sweepHeadline({ targets, unit }: SweepData): { readonly sentence: string; readonly basis: string } {
  const last = targets.at(-1);
  if (last === undefined) return { sentence: "No target could be fitted.", basis: "" };
  return {
    sentence: `Critical batch size ${estimateText(last.criticalBatchSize)} to reach ${last.target}.`,
    basis: [
      `Fitted to ${last.runs} runs. There, steps and ${unitWords[unit]} are both twice the least.`,
      ...last.warnings,
    ].join(" "),
  };
}
