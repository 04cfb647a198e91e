import type { TrackerSweep } from "./sweep.ts";

/** One value of one metric. Immutable once made: a retry sends the same bytes, the original time included. */
export interface Point {
  /** `[A-Za-z0-9_./-]`, at most 250 characters, no empty, `.` or `..` segment; see `metric-key.ts`. */
  readonly key: string;
  /** Whole number ≥ 0. */
  readonly step: number;
  /** Unix epoch [ms]. */
  readonly timeMs: number;
  /** Finite; a value that is not known has no point. */
  readonly value: number;
}

/** A file beside the metrics: a panel as a picture or as a page that stands alone. */
export interface PanelFile {
  /** Stable name without an ending, `[a-z0-9_-]`, at most 64 characters, for example `noise-scale`. */
  readonly panel: string;
  readonly title: string;
  readonly contentType: "text/html" | "image/png";
  readonly bytes: Uint8Array;
  readonly step: number;
  readonly timeMs: number;
}

/** A message for people, decided and kept by the collector: what changed, the numbers, what to do. Immutable once made. */
export interface TrackerAlert {
  /** The same in every retry, and of no other alert: a tracker that can tell keeps one of each. `[A-Za-z0-9-]{1,64}` */
  readonly id: string;
  /** What was watched, for example `batch-too-large`. `[a-z0-9-]{1,64}` */
  readonly rule: string;
  readonly severity: "info" | "warning" | "error";
  /** One line of plain text, at most 200 characters. It may hold the run's own name: never markup. */
  readonly title: string;
  /** Sentences of plain text, at most 2000 characters. */
  readonly text: string;
  /** The run's page at the collector; left out where the collector does not know its address. */
  readonly link?: string;
  readonly step: number;
  readonly timeMs: number;
}

/** What is delivered in one go. Panels and note replace what an earlier delivery left under the same name. */
export interface Delivery {
  readonly points: readonly Point[];
  readonly panels: readonly PanelFile[];
  /** In the order in which they were raised; only where the tracker takes them. */
  readonly alerts?: readonly TrackerAlert[];
  /** What the panels are drawn from, as JSON; only where the tracker takes it. It replaces what was there before. */
  readonly panelData?: { readonly json: string; readonly step: number; readonly timeMs: number };
  /** Markdown: the current numbers in words. */
  readonly note?: { readonly markdown: string; readonly step: number; readonly timeMs: number };
  /**
   * How training ended; only with a run's last delivery. A plugin that made the tracker's run itself ends it with that;
   * a run that is the user's is left as it is.
   */
  readonly ended?: { readonly outcome: "finished" | "failed"; readonly timeMs: number };
}

/** What a tracker can take, as data: the collector renders nothing that would be thrown away. */
export interface TrackerCapabilities {
  readonly panels: readonly PanelFile["contentType"][];
  /** Pixels of a picture a CSS pixel, 2 where it is left out: 1 for a page that shows each pixel of it as one of its own. */
  readonly picturePixelRatio?: number;
  readonly note: boolean;
  /** Whether the panels' data is kept, for a page that draws them itself. */
  readonly panelData: boolean;
  /** Whether alerts are mirrored there, natively or as what comes closest (a tag, a text). */
  readonly alerts: boolean;
  /** Shortest time between two deliveries of a run [s], those with alerts apart. */
  readonly pushEverySeconds: number;
  /**
   * Shortest time between two deliveries of a run that carry panels or a note [s], the last of a run apart: they weigh a
   * thousand times what points do, and an event file keeps each of them.
   */
  readonly pushPanelsEverySeconds: number;
}

/**
 * A run of a tracker, opened from the training job's own words. One sender at a time uses it: the collector leases a
 * (run, tracker) queue.
 */
export interface TrackerRun {
  /** Where a person sees the run; null where the tracker has no address. */
  readonly url: string | null;
  /**
   * Delivers in order. Sending the same delivery again at the same position (after a crash, a cut connection) leaves
   * each point and each alert once.
   *
   * @param position - what the last acknowledged `send` answered; null at the start of a run
   * @param signal - tells the call to stop: it then ends soon, with an error, and writes nothing more once it has ended. What
   *   it had written by then may stay, as after a cut connection: the delivery comes again, never beside a call that goes on
   * @returns the new position, stored by the collector together with the acknowledgement
   * @throws TrackerError; not retryable, and nothing written, where a point, panel or alert breaks the rules above
   */
  send(delivery: Delivery, position: string | null, signal?: AbortSignal): Promise<string>;
  /** Frees what the run holds; may be called twice. Ends nothing in the tracker: the collector may come back. */
  close(): Promise<void>;
}

/** An experiment tracker that the collector is configured for. */
export interface Tracker {
  /** Name of the plugin, for example `mlflow`. */
  readonly kind: string;
  readonly capabilities: TrackerCapabilities;
  /**
   * Opens the tracker's run that a training job names.
   *
   * @param target - `run` of the job's tracker entry: untrusted, validated here
   * @param context - the collector's own name of the run, for trackers that make one
   * @param signal - tells the call to stop, as that of `send`
   * @throws TrackerError, not retryable, where the target is malformed or outside what the configuration allows
   */
  openRun(target: Readonly<Record<string, unknown>>, context: RunContext, signal?: AbortSignal): Promise<TrackerRun>;
  /**
   * Tries the configuration with a real write: makes a run of its own where the configuration lets it, and removes it again,
   * also where a step in between is refused.
   *
   * @returns what was tried, as a sentence for a person
   * @throws TrackerError that says what is wrong and what to change
   */
  selfTest(): Promise<string>;
  /** Where runs can be read back: those of an experiment, as a sweep. @throws TrackerError outside of the configuration */
  openSweep?(experiment: string): TrackerSweep;
  /** Frees what the tracker holds; may be called twice. */
  close(): Promise<void>;
}

/** The collector's own words for a run. */
export interface RunContext {
  /** `[A-Za-z0-9._-]`, at most 128 characters. */
  readonly run: string;
  /** As `run`. */
  readonly project: string;
  /** Free text. */
  readonly name: string;
  /**
   * The collector's queue for this run: another one has sent what an earlier queue left in the tracker, and a position of
   * null is the start of this queue alone. `[0-9a-f]{16}`
   */
  readonly queue: string;
}
