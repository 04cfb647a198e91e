import { TrackerServer } from "@noisescale/tracker";
import { z } from "zod";
import { authorizationOf, credentialsAdvice, type MlflowCredentials } from "./credentials.ts";

/** How to reach and enter a server. */
export interface MlflowConnection extends MlflowCredentials {
  /** `http(s)://host[:port][/prefix]`; a user and a password in it are used as `username` and `password`. */
  readonly trackingUri: string;
}

/** A run as MLflow describes it. */
export interface MlflowRun {
  readonly info: {
    readonly run_id: string;
    readonly experiment_id: string;
    readonly artifact_uri: string;
    readonly lifecycle_stage: string;
  };
  readonly data: { readonly tags: readonly MlflowTag[] };
}

/** A run with what a sweep is told by. */
export interface MlflowSweepRun {
  readonly runId: string;
  readonly name: string;
  readonly tags: ReadonlyMap<string, string>;
  /** As they were logged: text. */
  readonly params: ReadonlyMap<string, string>;
}

/** An experiment as MLflow describes it. */
export interface MlflowExperiment {
  readonly experiment_id: string;
  readonly name: string;
  readonly lifecycle_stage: string;
  readonly tags: readonly MlflowTag[];
}

const tagsSchema = z.array(z.object({ key: z.string(), value: z.string() })).default([]);
const runSchema: z.ZodType<MlflowRun> = z.object({
  info: z.object({
    run_id: z.string(),
    experiment_id: z.string(),
    artifact_uri: z.string().default(""),
    lifecycle_stage: z.string().default("active"),
  }),
  data: z.object({ tags: tagsSchema }).default({ tags: [] }),
});
const sweepRunsSchema = z.object({
  runs: z
    .array(
      z.object({
        info: z.object({ run_id: z.string(), run_name: z.string().default("") }),
        data: z.object({ tags: tagsSchema, params: tagsSchema }).default({ tags: [], params: [] }),
      }),
    )
    .default([]),
  next_page_token: z.string().optional(),
});
// Steps come as numbers or, being 64 bits wide, as text; values that are no number as text.
const historySchema = z.object({
  metrics: z.array(z.object({ step: z.coerce.number().default(0), value: z.coerce.number() })).default([]),
  next_page_token: z.string().optional(),
});
const experimentSchema: z.ZodType<{ readonly experiment: MlflowExperiment }> = z.object({
  experiment: z.object({
    experiment_id: z.string(),
    name: z.string(),
    lifecycle_stage: z.string().default("active"),
    tags: tagsSchema,
  }),
});

/** One value as MLflow takes it. */
export interface MlflowMetric {
  readonly key: string;
  readonly value: number;
  /** Unix epoch [ms]. */
  readonly timestamp: number;
  readonly step: number;
}

/** One tag of a run. */
export interface MlflowTag {
  readonly key: string;
  readonly value: string;
}

/** Limits of one call [s]. */
const answerWithin = 30;
const uploadWithin = 120;

/** @throws RangeError where the configuration is wrong */
export function mlflowServer(connection: MlflowConnection): TrackerServer {
  const authorization = authorizationOf(connection, connection.trackingUri);
  return new TrackerServer({
    kind: "mlflow",
    product: "MLflow",
    address: connection.trackingUri,
    addressField: "tracking_uri",
    headers: authorization === undefined ? {} : { authorization },
    advice: (status, words, challenge) =>
      status === 401 ? credentialsAdvice(authorization, challenge) : advice(status, words),
  });
}

/** The calls of MLflow's REST API that the tracker makes, and no more. Each throws TrackerError. */
export class MlflowClient {
  readonly #server: TrackerServer;

  constructor(server: TrackerServer) {
    this.#server = server;
  }

  /** The same client, for one call of the collector: its requests are cut by the signal too. */
  cutBy(signal: AbortSignal | undefined): MlflowClient {
    return new MlflowClient(this.#server.cutBy(signal));
  }

  /** Address without credentials and without a slash at its end. */
  get server(): string {
    return this.#server.address;
  }

  /** Cuts calls that are under way. */
  close(): void {
    this.#server.close();
  }

  /** Version of the server, such as `3.17.2`; undefined where it does not tell. */
  async version(): Promise<string | undefined> {
    const answer = await this.#server.request("tell its version", "version", {
      withinSeconds: answerWithin,
      accepted: [401, 403, 404],
    });
    if (answer.ok) return (await answer.text()).trim();
    await answer.body?.cancel();
    return undefined;
  }

  async getRun(runId: string): Promise<MlflowRun> {
    const query = new URLSearchParams({ run_id: runId });
    const answer = await this.#json(`read the run ${runId}`, "GET", `runs/get?${query}`);
    return this.#parsed(z.object({ run: runSchema }), answer).run;
  }

  async getExperiment(experimentId: string): Promise<MlflowExperiment> {
    const query = new URLSearchParams({ experiment_id: experimentId });
    const answer = await this.#json("read an experiment", "GET", `experiments/get?${query}`);
    return this.#parsed(experimentSchema, answer).experiment;
  }

  /** The experiment of that name; undefined where there is none. */
  async findExperiment(name: string): Promise<MlflowExperiment | undefined> {
    const query = new URLSearchParams({ experiment_name: name });
    const what = `find the experiment ${JSON.stringify(name)}`;
    const answer = await this.#json(what, "GET", `experiments/get-by-name?${query}`, { missing: true });
    return answer === undefined ? undefined : this.#parsed(experimentSchema, answer).experiment;
  }

  async createExperiment(name: string): Promise<string> {
    const what = `make the experiment ${JSON.stringify(name)}`;
    const answer = await this.#json(what, "POST", "experiments/create", { body: { name } });
    return this.#parsed(z.object({ experiment_id: z.string() }), answer).experiment_id;
  }

  async setExperimentTag(experimentId: string, tag: MlflowTag): Promise<void> {
    const body = { experiment_id: experimentId, ...tag };
    await this.#json(`set the tag ${tag.key} of an experiment`, "POST", "experiments/set-experiment-tag", { body });
  }

  /** Runs with a tag, the oldest first, deleted ones too. @param tag - its value must hold no quote */
  async findRuns(experimentId: string, tag: MlflowTag): Promise<MlflowRun[]> {
    const answer = await this.#json("search its runs", "POST", "runs/search", {
      body: {
        experiment_ids: [experimentId],
        filter: `tags.\`${tag.key}\` = '${tag.value}'`,
        run_view_type: "ALL",
        order_by: ["attributes.start_time ASC"],
        max_results: 100,
      },
    });
    return this.#parsed(z.object({ runs: z.array(runSchema).default([]) }), answer).runs;
  }

  /** Every run of an experiment that is not deleted, with its parameters, the oldest first. */
  async *runsOf(experimentId: string): AsyncIterable<MlflowSweepRun> {
    for (let page: string | undefined; ; ) {
      const answer = await this.#json("search its runs", "POST", "runs/search", {
        body: {
          experiment_ids: [experimentId],
          run_view_type: "ACTIVE_ONLY",
          order_by: ["attributes.start_time ASC"],
          max_results: 1000,
          ...(page === undefined ? {} : { page_token: page }),
        },
      });
      const { runs, next_page_token: next } = this.#parsed(sweepRunsSchema, answer);
      for (const { info, data } of runs) {
        const entries = (named: readonly MlflowTag[]) => new Map(named.map(({ key, value }) => [key, value]));
        yield { runId: info.run_id, name: info.run_name, tags: entries(data.tags), params: entries(data.params) };
      }
      if (next === undefined || next === "") return;
      page = next;
    }
  }

  /** Every value of a metric of a run, in order of step; where a step was logged again, its last value. */
  async metricHistory(runId: string, metric: string): Promise<{ readonly step: number; readonly value: number }[]> {
    const values = new Map<number, number>();
    for (let page: string | undefined; ; ) {
      const query = new URLSearchParams({ run_id: runId, metric_key: metric, max_results: "25000" });
      if (page !== undefined) query.set("page_token", page);
      const what = `read the metric ${metric} of the run ${runId}`;
      const answer = await this.#json(what, "GET", `metrics/get-history?${query}`);
      const { metrics, next_page_token: next } = this.#parsed(historySchema, answer);
      for (const { step, value } of metrics) if (Number.isFinite(value)) values.set(step, value);
      if (next === undefined || next === "") break;
      page = next;
    }
    return [...values].map(([step, value]) => ({ step, value })).sort((one, other) => one.step - other.step);
  }

  async createRun(experimentId: string, name: string, startMs: number, tags: readonly MlflowTag[]): Promise<MlflowRun> {
    const body = { experiment_id: experimentId, run_name: name, start_time: startMs, tags };
    const answer = await this.#json(`make a run in the experiment ${experimentId}`, "POST", "runs/create", { body });
    return this.#parsed(z.object({ run: runSchema }), answer).run;
  }

  /** Moves a run to those that MLflow's page calls deleted. */
  async deleteRun(runId: string): Promise<void> {
    await this.#json(`delete the run ${runId}`, "POST", "runs/delete", { body: { run_id: runId } });
  }

  async endRun(runId: string, status: "FINISHED" | "FAILED", endMs: number): Promise<void> {
    const body = { run_id: runId, status, end_time: endMs };
    await this.#json(`end the run ${runId}`, "POST", "runs/update", { body });
  }

  /** @param metrics - at most 1000; the same ones sent again add nothing */
  async logBatch(runId: string, metrics: readonly MlflowMetric[]): Promise<void> {
    const body = { run_id: runId, metrics };
    await this.#json(`take metrics for the run ${runId}`, "POST", "runs/log-batch", { body });
  }

  async setTag(runId: string, tag: MlflowTag): Promise<void> {
    const body = { run_id: runId, ...tag };
    await this.#json(`set the tag ${tag.key} of the run ${runId}`, "POST", "runs/set-tag", { body });
  }

  /** Paths of the artifacts in a folder of the run. */
  async listArtifacts(runId: string, path: string): Promise<string[]> {
    const query = new URLSearchParams({ run_id: runId, path });
    const answer = await this.#json(`list artifacts of the run ${runId}`, "GET", `artifacts/list?${query}`);
    const files = z.array(z.object({ path: z.string() })).default([]);
    return this.#parsed(z.object({ files }), answer).files.map((file) => file.path);
  }

  /**
   * Puts an artifact, over one of the same name. A run whose artifacts pass through the server has an address that says
   * so; for the others the server is asked to put the file where it keeps them.
   *
   * @param path - segments of `[a-z0-9_.-]`
   */
  async putArtifact(run: MlflowRun, path: string, contentType: string, bytes: Uint8Array): Promise<void> {
    const what = `take the artifact ${path} of the run ${run.info.run_id}`;
    const [, proxied] = /^mlflow-artifacts:(?:\/\/[^/]*)?\/(.+)$/.exec(run.info.artifact_uri) ?? [];
    const query = new URLSearchParams({ run_uuid: run.info.run_id, path });
    const [method, address] =
      proxied === undefined
        ? ["POST", `ajax-api/2.0/mlflow/upload-artifact?${query}`]
        : ["PUT", `api/2.0/mlflow-artifacts/artifacts/${encodedPath(proxied)}/${encodedPath(path)}`];
    const response = await this.#server.request(what, address, {
      method,
      headers: { "content-type": contentType },
      body: Buffer.from(bytes),
      withinSeconds: uploadWithin,
    });
    await this.#server.text(what, response);
  }

  /** @returns undefined where `missing` allows it and MLflow answers that it has no such thing */
  async #json(
    what: string,
    method: "GET" | "POST",
    path: string,
    options: { readonly body?: unknown; readonly missing?: boolean } = {},
  ): Promise<unknown> {
    const body =
      options.body === undefined
        ? {}
        : { headers: { "content-type": "application/json" }, body: JSON.stringify(options.body) };
    const response = await this.#server.request(what, `api/2.0/mlflow/${path}`, {
      method,
      ...body,
      withinSeconds: answerWithin,
      accepted: options.missing === true ? [404] : [],
    });
    if (response.status !== 404) return this.#server.json(what, response);
    // A page that is not there at all is no answer of MLflow's.
    if (response.headers.get("content-type")?.includes("json") !== true)
      throw await this.#server.refusal(what, response);
    await response.body?.cancel();
    return undefined;
  }

  #parsed<Schema extends z.ZodType>(schema: Schema, answer: unknown): z.output<Schema> {
    const parsed = schema.safeParse(answer);
    if (!parsed.success) throw this.#server.notTheServer(parsed.error);
    return parsed.data;
  }
}

function advice(status: number, words: string): string | undefined {
  if (status === 403 && words.includes("Invalid Host header")) {
    return "Its list of hosts lacks the name in the collector's tracking_uri: start MLflow with --allowed-hosts or MLFLOW_SERVER_ALLOWED_HOSTS naming it.";
  }
  // MLflow's own word; a proxy's refusal has its own, and its own remedy.
  if (status === 403 && /permission.denied/i.test(words)) {
    return "The account in the collector's configuration may not: give it EDIT on the experiment, or name experiments where it has EDIT.";
  }
  if (status === 400 && words.includes("Current state is deleted")) {
    return "It was deleted in MLflow: restore it there and start the training again or declare its run anew, and what waits is sent.";
  }
  return undefined;
}

function encodedPath(path: string): string {
  return path.split("/").map(encodeURIComponent).join("/");
}
