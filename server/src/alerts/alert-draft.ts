import type { AlertRule, AlertSeverity } from "@noisescale/protocol";

/** When something was made known. */
export interface AlertMoment {
  readonly attempt: number;
  readonly step: number;
  /** [Unix ms] */
  readonly timeMs: number;
}

/** A message that is to be kept, and perhaps sent. */
export interface AlertMessageDraft {
  readonly rule: AlertRule;
  readonly severity: AlertSeverity;
  /** One line, at most 200 characters; never a free text that a job sent. */
  readonly title: string;
  readonly text: string;
}

/** What the fold found: something begins (and lasts, or was of a moment), or something that lasted ends. */
export type AlertDraft = AlertMoment &
  (
    | ({ readonly kind: "begins"; readonly lasts: boolean } & AlertMessageDraft)
    | { readonly kind: "ends"; readonly rule: AlertRule }
  );
