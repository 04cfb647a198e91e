import { type AlertRule, type AlertSeverity, alertSeveritySchema } from "@noisescale/protocol";
import { defaultWatchSettings, type WatchSettings } from "@noisescale/statistics";

/** What a project is watched for; what is left out is as in the defaults. */
export interface AlertRulesInput {
  /** B > factor × the interval's upper end is too large, B < its lower end / factor too small; 2 by default. */
  readonly batch_factor?: number | undefined;
  /** How far B_simple has to move within some 200 measurements to have jumped; 2 by default. */
  readonly jump_factor?: number | undefined;
  /** Measurements that a change has to lead by; 100 by default, five times as many for a signal that is lost. */
  readonly dwell?: number | undefined;
  /** Whether a recommendation that rests on an uncalibrated noise scale is worth a message; false by default. */
  readonly uncalibrated?: boolean | undefined;
  /** Silence that is worth a message [s]; left out: 3 times the run's longest pause of late, at least 300. */
  readonly silence_seconds?: number | undefined;
  /** Least severity that is sent; `warning` by default. What is less grave is shown on the page. */
  readonly send_from?: AlertSeverity | undefined;
  /** Rules that are not watched. */
  readonly off?: readonly AlertRule[] | undefined;
  /** Webhooks that are sent to, by name; left out: all that the project may use. */
  readonly webhooks?: readonly string[] | undefined;
}

/** How one project's runs are watched. */
export interface ProjectAlerts {
  readonly watch: WatchSettings;
  readonly uncalibrated: boolean;
  /** [ms]; undefined: learnt from the run. */
  readonly silenceMs: number | undefined;
  readonly off: ReadonlySet<AlertRule>;
  /** By name; undefined: all that the project may use. */
  readonly webhooks: ReadonlySet<string> | undefined;
  /** Whether an alert of this severity goes out. */
  sends(severity: AlertSeverity): boolean;
}

/** How each project's runs are watched. */
export type AlertSettings = (project: string) => ProjectAlerts;

const severities = alertSeveritySchema.options;

export function alertSettings(
  defaults: AlertRulesInput,
  projects: ReadonlyMap<string, AlertRulesInput> = new Map(),
): AlertSettings {
  const general = projectAlerts(defaults);
  const own = new Map([...projects].map(([project, input]) => [project, projectAlerts(withDefaults(input, defaults))]));
  return (project) => own.get(project) ?? general;
}

function withDefaults(input: AlertRulesInput, defaults: AlertRulesInput): AlertRulesInput {
  const said = Object.entries(input).filter(([, value]) => value !== undefined);
  return { ...defaults, ...Object.fromEntries(said) };
}

function projectAlerts(input: AlertRulesInput): ProjectAlerts {
  const least = severities.indexOf(input.send_from ?? "warning");
  return {
    watch: {
      batchFactor: input.batch_factor ?? defaultWatchSettings.batchFactor,
      jumpFactor: input.jump_factor ?? defaultWatchSettings.jumpFactor,
      dwell: input.dwell ?? defaultWatchSettings.dwell,
    },
    uncalibrated: input.uncalibrated ?? false,
    silenceMs: input.silence_seconds === undefined ? undefined : input.silence_seconds * 1000,
    off: new Set(input.off),
    webhooks: input.webhooks === undefined ? undefined : new Set(input.webhooks),
    sends: (severity) => severities.indexOf(severity) >= least,
  };
}
