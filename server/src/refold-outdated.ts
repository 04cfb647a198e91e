import type { Logger } from "pino";
import type { Fold } from "./fold.ts";
import type { Store } from "./store/store.ts";

/** Folds those runs again from their measurements whose state is of another version of the statistics. */
export async function refoldOutdated(store: Store, fold: Fold, logger: Logger): Promise<void> {
  for (const { run: name, ...row } of await store.listRuns()) {
    if (fold.estimator({ run: name, ...row }) !== undefined) continue;
    logger.warn({ run: name }, "the statistics have changed: the run is folded again from its measurements");
    await store.transaction(async (transaction) => {
      const run = await transaction.lockRun(name);
      if (run !== undefined) await fold.rebuild(transaction, run);
    });
  }
}
