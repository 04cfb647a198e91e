import { BatchSizeDecision, type BatchSizeVerdict, type RecommendedRange } from "./batch-size-decision.ts";
import type { NoiseScale } from "./noise-scale.ts";
import { NoiseScaleJump } from "./noise-scale-jump.ts";
import type { RunPoint } from "./run-estimator.ts";
import { type NoiseScaleInterval, SignalLoss, signalHorizon } from "./signal-loss.ts";
import { StateReader, StateVersionError, StateWriter } from "./state-bytes.ts";

/** What a run's watch goes by. */
export interface WatchSettings {
  /** B > batchFactor·high is wastefully large, B < low/batchFactor needlessly small. */
  readonly batchFactor: number;
  /** How far beyond its earlier interval B_simple has to be for a jump. */
  readonly jumpFactor: number;
  /** Measurements that a change has to lead by. */
  readonly dwell: number;
}

export const defaultWatchSettings: WatchSettings = { batchFactor: 2, jumpFactor: 2, dwell: 100 };

/** Something of a run is not as it was, and has been so for a while. */
export type RunChange =
  /** `uncalibrated`: the verdict rests on an indicator. */
  | { readonly kind: "batch_size"; readonly verdict: BatchSizeVerdict; readonly uncalibrated: boolean }
  /** `last`: what was known before it was lost. */
  | { readonly kind: "signal"; readonly state: "found" | "lost"; readonly last: NoiseScaleInterval | undefined }
  | { readonly kind: "jump"; readonly before: NoiseScaleInterval };

/** Measurements of the plain average that has to agree on a jump, which has just begun. */
const quickHorizon = 50;

const nothing: readonly RunChange[] = [];

/**
 * Watches a run for what a person should hear of. It depends on the points and on the recommendation as it was at each of
 * them; while the recommendation is held back nothing is counted. O(1) a measurement.
 */
export class RunWatch {
  /** Of the serialised state. */
  static readonly stateVersion = 3;
  #batchSize = new BatchSizeDecision();
  #signal = new SignalLoss();
  #jump = new NoiseScaleJump();

  /**
   * @param plain - the plain average over a horizon of `horizonLengths`, as `RunEstimator` gives it
   * @returns what this measurement has made known; each change is told once
   */
  add(
    point: RunPoint,
    recommended: RecommendedRange,
    plain: (horizon: number) => NoiseScale,
    { batchFactor, jumpFactor, dwell }: WatchSettings,
  ): readonly RunChange[] {
    const heldBack = point.heldBack !== undefined;
    let changes = nothing;
    if (!heldBack && this.#batchSize.add(point.batchSize, recommended, { factor: batchFactor, dwell })) {
      const { uncalibrated } = recommended;
      changes = [...changes, { kind: "batch_size", verdict: this.#batchSize.verdict, uncalibrated }];
    }
    const signal = this.#signal.add(point, () => plain(signalHorizon), dwell);
    if (signal !== undefined) changes = [...changes, { kind: "signal", state: signal, last: this.#signal.last }];
    const before = this.#jump.add(point, heldBack, () => plain(quickHorizon), { factor: jumpFactor, dwell });
    if (before !== undefined) changes = [...changes, { kind: "jump", before }];
    return changes;
  }

  serialize(): Uint8Array {
    const writer = new StateWriter();
    writer.number(RunWatch.stateVersion);
    this.#batchSize.write(writer);
    this.#signal.write(writer);
    this.#jump.write(writer);
    return writer.bytes();
  }

  /** @throws StateVersionError where the bytes are of another version, or none */
  static deserialize(bytes: Uint8Array): RunWatch {
    const reader = new StateReader(bytes);
    const version = bytes.length === 0 ? 0 : reader.number();
    if (version !== RunWatch.stateVersion) {
      throw new StateVersionError(`watch version ${version} is not ${RunWatch.stateVersion}: fold the run again`);
    }
    const watch = new RunWatch();
    watch.#batchSize = BatchSizeDecision.read(reader);
    watch.#signal = SignalLoss.read(reader);
    watch.#jump = NoiseScaleJump.read(reader);
    return watch;
  }
}
