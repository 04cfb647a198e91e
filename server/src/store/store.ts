import type {
  AlertRule,
  AlertSeverity,
  CalibrationAnswer,
  GroupFrontierAnswer,
  RunDeclaration,
  RunEvent,
  Unit,
} from "@noisescale/protocol";
import type { MeasuredFrontiers } from "@noisescale/statistics";
import type { Point, TrackerAlert } from "@noisescale/tracker";
import type { RunMeasurement } from "../run-measurement.ts";
import type { SeriesChunk } from "../series-row.ts";

export type RunState = "live" | "finished" | "failed";

/** Where the fold of a run stands. */
export interface FoldPosition {
  readonly attempt: number;
  readonly step: number;
  /** Time of the last folded measurement [Unix ms]. */
  readonly timeMs: number;
  /** Measurements folded. */
  readonly measurements: number;
  /** `RunEstimator.serialize()`. */
  readonly state: Uint8Array;
  /** `RunWatch.serialize()`; empty where none was kept. */
  readonly watch: Uint8Array;
}

export interface RunRow {
  readonly id: number;
  readonly run: string;
  readonly declaration: RunDeclaration;
  readonly state: RunState;
  readonly createdMs: number;
  /** When the run was last heard of, by the collector's clock [Unix ms]; undefined before its first measurement. */
  readonly arrivedMs: number | undefined;
  /** Raised with every change of the fold: an estimator that is held in memory is current if it has the same. */
  readonly version: number;
  /** Undefined before the first measurement. */
  readonly fold: FoldPosition | undefined;
}

/** `new`: stored. `duplicate`: the same values are there. `conflict`: other values are there, and they stand. */
export type InsertOutcome = "new" | "duplicate" | "conflict";

/** Step at which an attempt begins to win. */
export interface AttemptStart {
  readonly attempt: number;
  readonly firstStep: number;
}

export interface EventCount {
  readonly kind: RunEvent["kind"];
  readonly code: string;
  readonly count: number;
  readonly firstStep: number;
  readonly lastStep: number;
}

/** What the collector sends of one run to one tracker. */
export interface QueueRow {
  readonly runId: number;
  readonly run: string;
  readonly tracker: string;
  /** The training job's own words on which run of the tracker it means. */
  readonly target: Readonly<Record<string, unknown>>;
  /** Tells this queue from an earlier one of the same run and tracker. `[0-9a-f]{16}` */
  readonly queue: string;
  /** What the tracker's last acknowledgement answered. */
  readonly position: string | null;
  readonly url: string | null;
  /** Sends that failed since the last that went through. */
  readonly failures: number;
  readonly nextAttemptMs: number;
  /** Why the tracker refuses for good, or why the last send failed. */
  readonly message: string | null;
  readonly parked: boolean;
  /** Deliveries not acknowledged. */
  readonly backlog: number;
  /** When the last delivery was made, by the collector's clock [Unix ms]. */
  readonly madeMs: number;
  /** Time of the measurement that the last delivery shows [Unix ms]. */
  readonly madeTimeMs: number;
  /** Measurements folded when the last delivery was made. */
  readonly madeMeasurements: number;
  readonly layersTimeMs: number;
  /** When panels and note were last sent, by the collector's clock [Unix ms]. */
  readonly panelsMs: number;
}

/** Which queue a lease is of. */
export type LeasedQueue = Pick<QueueRow, "runId" | "tracker" | "queue">;

/** Points that are sent together. Immutable once claimed. */
export interface OutboxRow {
  readonly id: number;
  readonly points: readonly Point[];
  readonly alerts: readonly TrackerAlert[];
  readonly final: boolean;
}

export interface NewDelivery {
  readonly points: readonly Point[];
  readonly final: boolean;
}

/** Marks on a queue after deliveries were made. */
export interface MadeMarks {
  readonly madeMs: number;
  readonly madeTimeMs: number;
  readonly madeMeasurements: number;
  readonly layersTimeMs: number;
}

/** An alert as it was raised. */
export interface NewAlert {
  readonly attempt: number;
  readonly step: number;
  /** Of the measurement or event that raised it, or of the collector's clock where nothing came [Unix ms]. */
  readonly timeMs: number;
  readonly rule: AlertRule;
  readonly severity: AlertSeverity;
  /** Whether it goes to trackers and webhooks. */
  readonly sent: boolean;
  readonly title: string;
  readonly text: string;
  /** When it ended; both null while it lasts. */
  readonly endedStep: number | null;
  readonly endedTimeMs: number | null;
}

export interface AlertRow extends NewAlert {
  /** Place in the history, rising. */
  readonly number: number;
  /** `[0-9a-f]{32}` */
  readonly id: string;
  readonly runId: number;
}

/** An alert with its run. */
export interface ListedAlert extends AlertRow {
  readonly run: string;
  readonly project: string;
  readonly name: string | null;
}

export interface AlertQuery {
  readonly project?: string | undefined;
  readonly run?: string | undefined;
  /** First after this number; left out: the latest. */
  readonly after?: number | undefined;
  readonly limit: number;
}

/** What one webhook is to be sent. Immutable but for how its delivery goes. */
export interface WebhookMessageRow {
  readonly number: number;
  /** The alert's. */
  readonly id: string;
  readonly body: string;
  /** Sends that failed. */
  readonly failures: number;
}

export interface WebhookBacklog {
  readonly webhook: string;
  /** Messages that are not acknowledged, refused ones left out. */
  readonly waiting: number;
  /** Sends of the first of them that failed. */
  readonly failures: number;
  readonly refused: number;
  /** Why the last send failed, or a message was refused. */
  readonly message: string | null;
}

/** A live run that nothing was heard of for a while. */
export interface SilentRun {
  readonly run: string;
  readonly project: string;
  /** When its last measurements came, by the collector's clock [Unix ms]. */
  readonly arrivedMs: number;
}

export interface StepRange {
  /** First step. */
  readonly from: number;
  /** Last step, included. */
  readonly to: number;
}

export interface Evaluation {
  readonly step: number;
  readonly value: number;
}

/** Everything that is written goes through a transaction; it sees its own writes. */
export interface StoreTransaction {
  /** Undoes only what `work` wrote if it throws, and throws on. */
  nested<T>(work: () => Promise<T>): Promise<T>;
  /** Takes the run's row for update until the transaction ends. */
  lockRun(run: string): Promise<RunRow | undefined>;
  countRuns(): Promise<number>;
  createRun(run: string, declaration: RunDeclaration, createdMs: number): Promise<RunRow>;
  updateDeclaration(runId: number, declaration: RunDeclaration): Promise<void>;
  setState(runId: number, state: RunState): Promise<void>;
  deleteRun(runId: number): Promise<void>;

  /** Outcomes in the order of the measurements. */
  insertMeasurements(runId: number, measurements: readonly RunMeasurement[]): Promise<readonly InsertOutcome[]>;
  /** In order of attempt. */
  attemptStarts(runId: number): Promise<readonly AttemptStart[]>;
  /** In order of step. */
  measurements(runId: number, attempt: number, range: StepRange): AsyncIterable<RunMeasurement>;

  saveFold(runId: number, fold: FoldPosition | undefined): Promise<void>;
  putCheckpoint(runId: number, checkpoint: FoldPosition): Promise<void>;
  /** The last checkpoint whose step is before `step`. */
  checkpointBefore(runId: number, step: number): Promise<FoldPosition | undefined>;
  deleteCheckpointsFrom(runId: number, step: number): Promise<void>;
  /** Replaces the series' rows from `firstIndex` on by `rows` (`seriesRowWidth` numbers each). */
  writeSeries(runId: number, firstIndex: number, rows: Float64Array): Promise<void>;
  /** The row at a place in the series. */
  seriesRow(runId: number, index: number): Promise<Float64Array | undefined>;

  /** Stores each event once by (attempt, step, kind, code). @returns those that are new */
  insertEvents(runId: number, attempt: number, events: readonly RunEvent[]): Promise<readonly RunEvent[]>;

  measuredFrontiers(project: string, group: string | undefined, unit: Unit): Promise<MeasuredFrontiers>;
  /** Replaces what the group has at this target. Of a group's targets beyond 64 the one fitted longest ago goes. */
  putGroupFrontier(answer: GroupFrontierAnswer): Promise<void>;
  deleteGroupFrontier(project: string, group: string, target: string): Promise<void>;
  /** Replaces the project's calibration. */
  putCalibration(answer: CalibrationAnswer): Promise<void>;
  /** @returns whether there was one */
  deleteCalibration(project: string): Promise<boolean>;
  /** The run was heard of now, by the collector's clock. */
  setArrived(runId: number, nowMs: number): Promise<void>;

  /** In order. */
  insertAlerts(runId: number, alerts: readonly NewAlert[]): Promise<readonly AlertRow[]>;
  /** Those that last, or lasted, or were raised after the step, in order. */
  alertsReaching(runId: number, step: number): Promise<readonly AlertRow[]>;
  /** Alerts of a rule that were to be sent. */
  countSentAlerts(runId: number, rule: AlertRule): Promise<number>;
  /** The latest alert of a rule in an attempt. */
  lastAlert(runId: number, attempt: number, rule: AlertRule): Promise<AlertRow | undefined>;
  /** Until when it lasted; null: it lasts. */
  setAlertEnd(
    number: number,
    ended: { readonly step: number; readonly timeMs: number; readonly text?: string } | null,
  ): Promise<void>;
  /** Ends the run's alerts of a rule that last. */
  endAlerts(runId: number, rule: AlertRule, step: number, timeMs: number): Promise<void>;

  /** Adds messages, each for one webhook. */
  addWebhookMessages(
    runId: number,
    messages: readonly { readonly webhook: string; readonly id: string; readonly body: string }[],
  ): Promise<void>;
  /** The webhook's first message that waits, now leased; undefined where it is not due or another has it. */
  leaseWebhookMessage(
    webhook: string,
    owner: string,
    nowMs: number,
    leaseUntilMs: number,
  ): Promise<WebhookMessageRow | undefined>;
  /** Ends the lease: the message was taken. */
  acknowledgeWebhookMessage(number: number, owner: string): Promise<void>;
  /** Ends the lease: the message stays, to be tried again or refused for good. */
  refuseWebhookMessage(
    number: number,
    owner: string,
    failure: { readonly message: string; readonly refused: boolean; readonly nextAttemptMs: number },
  ): Promise<void>;

  /** Makes the run's queues those of its declaration: new ones start empty, kept ones are tried again, others go. */
  putQueues(runId: number, targets: ReadonlyMap<string, Readonly<Record<string, unknown>>>): Promise<void>;
  queues(runId: number): Promise<readonly QueueRow[]>;
  /** Adds deliveries, then thins those that are not claimed to at most `bound`: every second goes, the last stays. */
  addDeliveries(
    runId: number,
    tracker: string,
    deliveries: readonly NewDelivery[],
    marks: MadeMarks,
    bound: number,
  ): Promise<void>;
  /** Adds alerts to a queue; they are never thinned. */
  addAlertDelivery(runId: number, tracker: string, alerts: readonly TrackerAlert[]): Promise<void>;
  /** The queue of this tracker that has waited longest, now leased; undefined where none is due. */
  leaseQueue(tracker: string, owner: string, nowMs: number, leaseUntilMs: number): Promise<QueueRow | undefined>;
  /** Claims the queue's deliveries, in order; those claimed before and not acknowledged come again, alone. */
  claimDeliveries(runId: number, tracker: string): Promise<readonly OutboxRow[]>;
  /** Lengthens the lease of a call under way. @param message - what there is to say of it; null: what was said stays */
  renewLease(queue: LeasedQueue, owner: string, leaseUntilMs: number, message: string | null): Promise<void>;
  /** Ends the lease. Removes what was claimed, and keeps the tracker's position; nothing more where the run has another queue now. */
  acknowledge(
    queue: LeasedQueue,
    owner: string,
    sent: { readonly position: string; readonly url: string | null; readonly panelsMs: number },
  ): Promise<void>;
  /** Ends the lease; what was claimed stays. The failure is kept, unless the run has another queue now. */
  refuse(
    queue: LeasedQueue,
    owner: string,
    failure: { readonly message: string; readonly parked: boolean; readonly nextAttemptMs: number },
  ): Promise<void>;
  /** Every queue and every webhook's message is tried at once, parked and refused ones too: the configuration, or the tracker, may be another one now. */
  unparkAll(): Promise<void>;
  /** Ends the leases of holders that are gone; what they had claimed is sent again. */
  releaseLeases(isGone: (owner: string) => boolean): Promise<void>;
}

/** Durable: a transaction that returned is on disk. */
export interface Store {
  transaction<T>(work: (transaction: StoreTransaction) => Promise<T>): Promise<T>;
  findRun(run: string): Promise<RunRow | undefined>;
  /** The latest created first. @param group - of that group alone, in whichever project */
  listRuns(group?: string): Promise<readonly RunRow[]>;
  eventCounts(runId: number): Promise<readonly EventCount[]>;
  queues(runId: number): Promise<readonly QueueRow[]>;
  /** Of every run and tracker. */
  allQueues(): Promise<readonly QueueRow[]>;
  /** Runs that have folded more than their last delivery to this tracker shows, made at or before `madeBeforeMs`. */
  overdueRuns(tracker: string, madeBeforeMs: number): Promise<readonly string[]>;
  /** Whether `leaseQueue` would find one. */
  hasDueQueue(tracker: string, nowMs: number): Promise<boolean>;
  alerts(query: AlertQuery): Promise<readonly ListedAlert[]>;
  /** Of every run, those that last. */
  standingAlerts(): Promise<readonly AlertRow[]>;
  /** Those that last and were raised before the one of a number, oldest first; the latest of them where they are more. */
  standingAlertsBefore(
    number: number,
    query: Pick<AlertQuery, "project" | "run" | "limit">,
  ): Promise<readonly ListedAlert[]>;
  /** Of those with a message left. */
  webhookBacklogs(): Promise<readonly WebhookBacklog[]>;
  /** Whether a message waits for the webhook whose time has come. */
  hasDueWebhookMessage(webhook: string, nowMs: number): Promise<boolean>;
  /** Live runs with measurements that were last heard of at or before `arrivedMs` and have no alert of that. @param run - that one alone */
  silentRuns(arrivedMs: number, run?: string): Promise<readonly SilentRun[]>;
  /** Chunks of the series that overlap the range, in order. */
  series(runId: number, range: StepRange): AsyncIterable<SeriesChunk>;
  /** Upper bound of the rows in the range, without reading them. */
  seriesCount(runId: number, range: StepRange): Promise<number>;
  /** Rows at places in the series; places that are not there are left out. */
  seriesRows(runId: number, indexes: readonly number[]): Promise<readonly Float64Array[]>;
  /** Every measurement of a run, superseded attempts included, in order of attempt and step. */
  measurements(runId: number): AsyncIterable<RunMeasurement>;
  /** In order of attempt. */
  attemptStarts(runId: number): Promise<readonly AttemptStart[]>;
  /** Names of the evaluations that a run reports, in order. */
  evaluationNames(runId: number, limit: number): Promise<readonly string[]>;
  /** Whether the run reports an evaluation of that name. */
  evaluates(runId: number, name: string): Promise<boolean>;
  /** An evaluation of one attempt by name, in order of step. */
  evaluations(runId: number, name: string, attempt: number, range: StepRange): AsyncIterable<Evaluation>;
  /** What a run's recommendation may rest on beside the run. */
  measuredFrontiers(project: string, group: string | undefined, unit: Unit): Promise<MeasuredFrontiers>;
  groupFrontiers(project: string, group: string): Promise<readonly GroupFrontierAnswer[]>;
  calibration(project: string): Promise<CalibrationAnswer | undefined>;
  /** @throws where the store takes no writes */
  ready(): Promise<void>;
  close(): Promise<void>;
}
