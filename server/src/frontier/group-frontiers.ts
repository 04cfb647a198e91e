import { setImmediate as nextTurn } from "node:timers/promises";
import type { FrontierTarget, GroupFrontierAnswer } from "@noisescale/protocol";
import { fitFrontier, type SweepPoint } from "@noisescale/statistics";
import { ProblemError } from "../problem.ts";
import type { RunRow, Store } from "../store/store.ts";
import { type CrossingSource, type RunCrossing, readCrossing } from "./run-crossing.ts";
import { toWireFrontier } from "./wire-frontier.ts";

/** Batch sizes within this factor are one: batches of tokens, and epochs' short last batches, differ a little. */
const sameBatchSizeFactor = 1.02;
/** Names that an error lists. */
const mostNamed = 20;

/** A group's frontier with the runs that it was fitted to. */
export interface FittedGroup {
  readonly answer: GroupFrontierAnswer;
  /** Those that the fit rests on, with the batch size that it has them at. */
  readonly used: readonly (RunCrossing & { readonly steps: number; readonly batchSize: number })[];
}

/** Frontiers of groups of runs: sweeps over batch sizes whose runs are in the store. */
export class GroupFrontiers {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  /**
   * Fits the frontier of a group's runs at a target.
   *
   * @param project - undefined: the only one that has a group by this name
   * @throws ProblemError 404 where there is no such group, 400 where several projects have one, 422 where nothing can be fitted
   */
  async fit(group: string, target: FrontierTarget, project: string | undefined): Promise<FittedGroup> {
    return this.#fit(group, target, await this.#runsOf(group, project));
  }

  /**
   * Fits it and keeps it for the runs' recommendations; what was kept there before goes where the runs give none any more.
   *
   * @throws ProblemError as `fit` does
   */
  async keep(group: string, target: FrontierTarget, project: string | undefined): Promise<FittedGroup> {
    const runs = await this.#runsOf(group, project);
    const own = (runs[0] as RunRow).declaration;
    try {
      const fitted = await this.#fit(group, target, runs);
      await this.#store.transaction((transaction) => transaction.putGroupFrontier(fitted.answer));
      return fitted;
    } catch (error) {
      if (error instanceof ProblemError) {
        await this.#store.transaction((transaction) =>
          transaction.deleteGroupFrontier(own.project, group, target.text),
        );
      }
      throw error;
    }
  }

  async #runsOf(group: string, project: string | undefined): Promise<readonly RunRow[]> {
    const inGroup = await this.#store.listRuns(group);
    const projects = [...new Set(inGroup.map(({ declaration }) => declaration.project))].sort();
    if (project === undefined && projects.length > 1) {
      throw new ProblemError(
        400,
        "Not understood",
        `Projects ${projects.join(", ")} each have a group ${JSON.stringify(group)}: add project= to the query`,
        [{ path: "project", message: `must be one of ${projects.join(", ")}` }],
      );
    }
    const runs = inGroup.filter(({ declaration }) => project === undefined || declaration.project === project);
    if (runs.length === 0) {
      const where = project === undefined ? "" : ` of project ${JSON.stringify(project)}`;
      throw new ProblemError(
        404,
        "No such group",
        `No run${where} is in a group ${JSON.stringify(group)}: runs name theirs when they are declared`,
      );
    }
    return runs.toReversed();
  }

  async #fit(group: string, target: FrontierTarget, runs: readonly RunRow[]): Promise<FittedGroup> {
    const { project, unit } = (runs[0] as RunRow).declaration;
    const units = new Set(runs.map(({ declaration }) => declaration.unit));
    if (units.size > 1) {
      throw unfitted(
        `The group's runs count in different units (${[...units].join(", ")}): batch sizes do not compare.`,
      );
    }
    const { source, lacking } = await this.#source(target, runs);
    const crossings: RunCrossing[] = [];
    for (const run of runs) {
      if (lacking.has(run)) continue;
      crossings.push(await readCrossing(this.#store, run, target, source));
      // Other requests have their turn between two runs.
      await nextTurn();
    }
    const read = oneBatchSize(crossings);
    const usable = read.filter(({ problem }) => problem === undefined);
    const rated = usable.every(({ learningRate }) => learningRate !== undefined);
    const warnings = sourceWarnings(target, source);
    if (!rated && usable.some(({ learningRate }) => learningRate !== undefined)) {
      warnings.push("Some runs do not report their learning rate: all runs of a batch size count alike.");
    }
    const fit = fitFrontier(
      usable.flatMap(({ batchSize, steps, learningRate }) =>
        batchSize === undefined ? [] : [{ batchSize, steps, learningRate: rated ? learningRate : undefined }],
      ),
    );
    const left = [
      ...read.flatMap(({ run, problem }) => (problem === undefined ? [] : [{ path: run.run, message: problem }])),
      ...[...lacking].map((run) => ({
        path: run.run,
        message: `reports no evaluation ${JSON.stringify(target.name)}`,
      })),
    ];
    if (!fit.fitted) {
      const reason = usable.length === 0 ? "None of the group's runs can be used; each says why." : fit.reason;
      throw unfitted(`The frontier of ${target.text} cannot be fitted. ${reason}`, left);
    }
    if (left.length > 0) {
      warnings.push(`${left.length} of the group's ${runs.length} runs are left out; each says why.`);
    }
    const pointOf = (crossing: RunCrossing): SweepPoint | undefined =>
      fit.points.find(({ batchSize }) => batchSize === crossing.batchSize);
    const isUsed = (crossing: RunCrossing): boolean => {
      const point = pointOf(crossing);
      const chosen = !rated || point?.learningRate === crossing.learningRate;
      return crossing.problem === undefined && crossing.steps !== undefined && point?.leftOut === false && chosen;
    };
    const used = read.flatMap((crossing) => {
      const { steps, batchSize } = crossing;
      return steps === undefined || batchSize === undefined || !isUsed(crossing)
        ? []
        : [{ ...crossing, steps, batchSize }];
    });
    const losses = used.flatMap(({ loss }) => loss ?? []).sort((one, other) => one - other);
    const answer: GroupFrontierAnswer = {
      project,
      group,
      unit,
      target: target.text,
      source,
      frontier: toWireFrontier(target.value, fit),
      loss: losses[losses.length >> 1] ?? null,
      runs: [
        ...read.map((crossing) => ({
          run: crossing.run.run,
          batch_size: crossing.batchSize ?? null,
          learning_rate: crossing.learningRate ?? null,
          steps: crossing.steps ?? null,
          used: isUsed(crossing),
          remark: remarkOf(crossing, pointOf(crossing), isUsed(crossing)),
        })),
        ...left
          .filter(({ path }) => !read.some(({ run }) => run.run === path))
          .map(({ path, message }) => ({
            run: path,
            batch_size: null,
            learning_rate: null,
            steps: null,
            used: false,
            remark: message,
          })),
      ],
      warnings,
      time_ms: Date.now(),
    };
    return { answer, used };
  }

  /** Evaluations of the target's name where any run reports them; the training loss in their place only for a loss. */
  async #source(
    target: FrontierTarget,
    runs: readonly RunRow[],
  ): Promise<{ readonly source: CrossingSource; readonly lacking: ReadonlySet<RunRow> }> {
    const lacking: RunRow[] = [];
    for (const run of runs) if (!(await this.#store.evaluates(run.id, target.name))) lacking.push(run);
    if (lacking.length < runs.length) return { source: "evaluation", lacking: new Set(lacking) };
    if (target.name === "loss") return { source: "training_loss", lacking: new Set() };
    const names = new Set<string>();
    for (const run of runs) {
      for (const name of await this.#store.evaluationNames(run.id, mostNamed)) names.add(name);
      await nextTurn();
    }
    const known = [...names].sort().slice(0, mostNamed);
    const others =
      known.length === 0
        ? "They report none; loss<=value follows their training loss."
        : `They report ${known.map((name) => JSON.stringify(name)).join(", ")}.`;
    throw unfitted(`No run of the group reports an evaluation ${JSON.stringify(target.name)}. ${others}`);
  }
}

function unfitted(
  detail: string,
  errors?: readonly { readonly path: string; readonly message: string }[],
): ProblemError {
  return new ProblemError(422, "No frontier", detail, errors === undefined ? undefined : [...errors]);
}

function sourceWarnings(target: FrontierTarget, source: CrossingSource): string[] {
  if (source === "evaluation") return [];
  return [
    `No run evaluates ${JSON.stringify(target.name)}: the training loss was followed, averaged over the last part of each run so far, about a fifth of it, and set where that part has its centre.`,
  ];
}

function remarkOf({ problem, steps }: RunCrossing, point: SweepPoint | undefined, used: boolean): string | null {
  if (problem !== undefined) return problem;
  if (point?.leftOut === true) return "over half of the runs at this batch size never met the target";
  if (steps === undefined) return "never met the target";
  return used ? null : "another learning rate was faster at this batch size";
}

/** Gives runs whose batch sizes are nearly the same the same one, their mean. */
function oneBatchSize(crossings: readonly RunCrossing[]): RunCrossing[] {
  const sizes = [...new Set(crossings.flatMap(({ batchSize }) => batchSize ?? []))].sort((one, other) => one - other);
  const shared = new Map<number, number>();
  let cluster: number[] = [];
  const close = (): void => {
    const mean = cluster.reduce((total, size) => total + size, 0) / cluster.length;
    for (const size of cluster) shared.set(size, cluster.length === 1 ? size : mean);
    cluster = [];
  };
  for (const size of sizes) {
    if (cluster[0] !== undefined && size > cluster[0] * sameBatchSizeFactor) close();
    cluster.push(size);
  }
  close();
  return crossings.map((crossing) => ({
    ...crossing,
    batchSize: crossing.batchSize === undefined ? undefined : shared.get(crossing.batchSize),
  }));
}
