import type { Rejection } from "@noisescale/protocol";
import type { Fold } from "./fold.ts";
import type { IndexedMeasurement } from "./ingest-check.ts";
import type { RunRow } from "./store/store.ts";

/** Runs whose layer names are held in memory. */
const heldRuns = 256;

/** Bounds the different layer names of a run: each has a state of its own, for as long as the run is kept. */
export class LayerLimit {
  readonly #fold: Fold;
  readonly #limit: number;
  readonly #names = new Map<number, Set<string>>();

  constructor(fold: Fold, limit: number) {
    this.#fold = fold;
    this.#limit = limit;
  }

  /** Takes the records that keep the run within its limit; the others are answered as rejections. */
  admit(
    run: RunRow,
    records: readonly IndexedMeasurement[],
  ): {
    readonly admitted: readonly IndexedMeasurement[];
    readonly rejections: ReadonlyMap<IndexedMeasurement, Rejection>;
  } {
    const rejections = new Map<IndexedMeasurement, Rejection>();
    if (records.every(({ layers }) => layers === undefined)) return { admitted: records, rejections };
    const names = this.#namesOf(run);
    const admitted = records.filter((record) => {
      const unseen = (record.layers ?? []).filter((name) => !names.has(name));
      if (names.size + unseen.length <= this.#limit) {
        for (const name of unseen) names.add(name);
        return true;
      }
      rejections.set(record, {
        index: record.index,
        path: "layers",
        message: `names ${unseen.length} new layers where the run has ${names.size} of at most ${this.#limit}: name layers alike in every measurement, or raise "limits.layers" in noisescale.config.json`,
      });
      return false;
    });
    return { admitted, rejections };
  }

  /** Reads the names again from what is kept: some that were admitted were not stored after all. */
  forget(runId: number): void {
    this.#names.delete(runId);
  }

  #namesOf(run: RunRow): Set<string> {
    let names = this.#names.get(run.id);
    if (names === undefined) {
      names = new Set(this.#fold.estimator(run)?.estimate().layers.keys());
      const oldest = this.#names.keys().next();
      if (this.#names.size >= heldRuns && oldest.done !== true) this.#names.delete(oldest.value);
      this.#names.set(run.id, names);
    }
    return names;
  }
}
