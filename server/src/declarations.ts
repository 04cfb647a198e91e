import { fieldErrors, inProcessMode, type RunDeclaration, runDeclarationSchema } from "@noisescale/protocol";
import type { Fold } from "./fold.ts";
import type { ConfiguredTrackers } from "./outbox/configured-tracker.ts";
import { notUnderstood, ProblemError } from "./problem.ts";
import { changesEstimates } from "./run-settings.ts";
import type { RunRow, Store } from "./store/store.ts";

/** Declares runs: what a hook says of its run before it measures, and again at each start. */
export class Declarations {
  readonly #store: Store;
  readonly #fold: Fold;
  readonly #trackers: ConfiguredTrackers;
  readonly #runLimit: number;

  constructor(store: Store, fold: Fold, trackers: ConfiguredTrackers, runLimit: number) {
    this.#store = store;
    this.#fold = fold;
    this.#trackers = trackers;
    this.#runLimit = runLimit;
  }

  /** @throws ProblemError where the declaration is malformed, or names a tracker that the project may not use */
  parse(body: unknown): RunDeclaration {
    const parsed = runDeclarationSchema.safeParse(body);
    if (!parsed.success) throw notUnderstood(fieldErrors(parsed.error), "The declaration");
    const errors = this.#trackerErrors(parsed.data);
    if (errors.length > 0) throw notUnderstood(errors, "The declaration");
    return parsed.data;
  }

  /** Idempotent. @returns whether the run is new */
  async declare(
    name: string,
    declaration: RunDeclaration,
  ): Promise<{ readonly run: RunRow; readonly created: boolean }> {
    const created = await this.#store.transaction(async (transaction) => {
      const known = await transaction.lockRun(name);
      if (known === undefined && (await transaction.countRuns()) >= this.#runLimit) {
        throw new ProblemError(
          403,
          "Too many runs",
          `The collector holds its limit of ${this.#runLimit} runs: delete some, or raise "limits.runs" in noisescale.config.json`,
        );
      }
      const run = known ?? (await transaction.createRun(name, declaration, Date.now()));
      if (known !== undefined) {
        await transaction.updateDeclaration(known.id, declaration);
        if (changesEstimates(known.declaration, declaration)) {
          await this.#fold.rebuild(transaction, { ...known, declaration });
        }
      }
      await transaction.putQueues(run.id, pushedTargets(declaration));
      return known === undefined;
    });
    return { run: (await this.#store.findRun(name)) as RunRow, created };
  }

  #trackerErrors({ project, trackers = [] }: RunDeclaration): { path: string; message: string }[] {
    const configured = [...this.#trackers.keys()];
    const names = configured.length === 0 ? "none is" : `configured: ${configured.join(", ")}`;
    return trackers.flatMap(({ name }, i) => {
      const tracker = this.#trackers.get(name);
      const path = `trackers.${i}.name`;
      if (tracker === undefined) {
        return { path, message: `no tracker ${JSON.stringify(name)} is configured at the collector (${names})` };
      }
      if (tracker.projects?.has(project) === false) {
        return { path, message: `project ${JSON.stringify(project)} may not use the tracker ${JSON.stringify(name)}` };
      }
      const again = trackers.findIndex((other) => other.name === name) < i;
      return again ? { path, message: `names ${JSON.stringify(name)} twice` } : [];
    });
  }
}

/** What the plugins are given; a run that the training process logs itself has no queue. */
function pushedTargets({ trackers = [] }: RunDeclaration): ReadonlyMap<string, Readonly<Record<string, unknown>>> {
  return new Map(
    trackers
      .filter(({ mode }) => mode !== inProcessMode)
      .map(({ name, run, mode }) => [name, mode === undefined ? run : { ...run, mode }]),
  );
}
