import { TrackerError, TrackerServer } from "@noisescale/tracker";
import { z } from "zod";

/** How to reach and enter W&B. */
export interface WandbConnection {
  readonly apiKey: string;
  /** `https://api.wandb.ai` where it is left out; the address of one's own server otherwise. */
  readonly baseUrl?: string | undefined;
}

/** A run by its names in W&B's addresses. */
export interface WandbRunPath {
  readonly entity: string;
  readonly project: string;
  /** The run's id. */
  readonly run: string;
}

/** A run as W&B describes it. */
export interface WandbRun {
  /** W&B's own key of the run, not its id in addresses. */
  readonly id: string;
  readonly group: string | null;
  readonly config: Readonly<Record<string, unknown>>;
  readonly summary: Readonly<Record<string, unknown>>;
  readonly historyLineCount: number;
}

/** What a run is made with, or changed to; what is left out stays. */
export interface WandbRunChange {
  readonly displayName?: string | undefined;
  readonly group?: string | undefined;
  readonly jobType?: string | undefined;
  readonly config: Readonly<Record<string, unknown>>;
}

/** Part of a run's stream of rows. */
export interface WandbStream {
  /** Lines of `wandb-history.jsonl`, and where the first of them goes. */
  readonly history?: { readonly offset: number; readonly rows: readonly object[] };
  readonly summary?: object;
  /** Names of files that were uploaded. */
  readonly uploaded?: readonly string[];
  readonly exitCode?: number;
}

export interface WandbAlert {
  readonly title: string;
  readonly text: string;
  readonly severity: "INFO" | "WARN" | "ERROR";
  /** An alert of the same title is not sent again within this [ms]. */
  readonly waitMs: number;
}

/** Limits of one call [s]. */
const answerWithin = 30;
const uploadWithin = 120;

const jsonText: z.ZodType<Record<string, unknown>> = z
  .string()
  .nullish()
  .transform((text, context) => {
    try {
      return z.record(z.string(), z.unknown()).parse(JSON.parse(text ?? "{}"));
    } catch {
      context.issues.push({ code: "custom", message: "must be JSON", input: text });
      return z.NEVER;
    }
  });
const runSchema = z.object({
  id: z.string(),
  group: z.string().nullable(),
  config: jsonText,
  summaryMetrics: jsonText,
  historyLineCount: z.number().nullable(),
});

/** @throws RangeError where the configuration is wrong */
export function wandbServer({ apiKey, baseUrl = "https://api.wandb.ai" }: WandbConnection): TrackerServer {
  return new TrackerServer({
    kind: "wandb",
    product: "Weights & Biases",
    address: baseUrl,
    addressField: "base_url",
    headers: {
      authorization: `Basic ${Buffer.from(`api:${apiKey}`, "utf8").toString("base64")}`,
      "user-agent": "noisescale",
    },
    advice,
  });
}

/** The requests of W&B's protocol that the tracker makes, and no more. Each throws TrackerError. */
export class WandbClient {
  readonly #server: TrackerServer;

  constructor(server: TrackerServer) {
    this.#server = server;
  }

  /** The same client, for one call of the collector: its requests are cut by the signal too. */
  cutBy(signal: AbortSignal | undefined): WandbClient {
    return new WandbClient(this.#server.cutBy(signal));
  }

  /** Where people look: the cloud's pages lie beside its interface, a server's own below one address. */
  runUrl({ entity, project, run }: WandbRunPath): string {
    const { address } = this.#server;
    const pages = address === "https://api.wandb.ai" ? "https://wandb.ai" : address;
    return `${pages}/${[entity, project, "runs", run].map(encodeURIComponent).join("/")}`;
  }

  /** Cuts requests that are under way. */
  close(): void {
    this.#server.close();
  }

  /** The entity that the key writes to when none is named. */
  async defaultEntity(): Promise<string> {
    const schema = z.object({ viewer: z.object({ entity: z.string() }).nullable() });
    const { viewer } = await this.#graphql("tell who the key belongs to", schema, "query { viewer { entity } }", {});
    if (viewer !== null) return viewer.entity;
    throw new TrackerError("wandb: the API key belongs to nobody. Check api_key of this tracker, or WANDB_API_KEY.", {
      retryable: false,
    });
  }

  /** Undefined where there is no such run, or no such project yet. */
  async findRun({ entity, project, run }: WandbRunPath): Promise<WandbRun | undefined> {
    const schema = z.object({ project: z.object({ run: runSchema.nullable() }).nullable() });
    const found = await this.#graphql(
      `read the run ${run}`,
      schema,
      `query ($entity: String, $project: String, $run: String!) {
        project(name: $project, entityName: $entity) {
          run(name: $run) { id group config summaryMetrics historyLineCount }
        }
      }`,
      { entity, project, run },
    );
    const held = found.project?.run;
    if (held == null) return undefined;
    const { summaryMetrics: summary, historyLineCount, ...rest } = held;
    return { ...rest, summary, historyLineCount: historyLineCount ?? 0 };
  }

  /** Makes the run, and the project, where they are not there. */
  async putRun({ entity, project, run }: WandbRunPath, change: WandbRunChange): Promise<void> {
    await this.#graphql(
      `make the run ${run}`,
      z.unknown(),
      `mutation ($run: String, $project: String, $entity: String, $group: String, $displayName: String, $jobType: String, $config: JSONString) {
        upsertBucket(input: {name: $run, modelName: $project, entityName: $entity, groupName: $group, displayName: $displayName, jobType: $jobType, config: $config}) {
          inserted
        }
      }`,
      {
        run,
        project,
        entity,
        group: change.group ?? null,
        displayName: change.displayName ?? null,
        jobType: change.jobType ?? null,
        config: JSON.stringify(change.config),
      },
    );
  }

  /** @param id - W&B's own key of the run */
  async deleteRun(id: string): Promise<void> {
    const mutation = "mutation ($id: ID!) { deleteRun(input: {id: $id}) { clientMutationId } }";
    await this.#graphql("delete a run", z.unknown(), mutation, { id });
  }

  /**
   * Writes rows at their offset of the run's stream.
   *
   * @param writer - of a shared run: an id of one's own, with offsets of its own; without it they are the run's
   */
  async stream({ entity, project, run }: WandbRunPath, part: WandbStream, writer?: string): Promise<void> {
    const files: Record<string, unknown> = {};
    if (part.history !== undefined) {
      const { offset, rows } = part.history;
      files["wandb-history.jsonl"] = { offset, content: rows.map((row) => JSON.stringify(row)) };
    }
    if (part.summary !== undefined) {
      files["wandb-summary.json"] = { offset: 0, content: [JSON.stringify(part.summary)] };
    }
    const body = {
      ...(Object.keys(files).length === 0 ? {} : { files }),
      ...(part.uploaded === undefined || part.uploaded.length === 0 ? {} : { uploaded: part.uploaded }),
      ...(part.exitCode === undefined ? {} : { complete: true, exitcode: part.exitCode }),
    };
    const path = ["files", entity, project, run, "file_stream"].map(encodeURIComponent).join("/");
    const what = `take rows of the run ${run}`;
    const response = await this.#server.request(what, path, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        ...(writer === undefined ? {} : { "x-wandb-async-client-id": writer, "x-wandb-use-async-filestream": "true" }),
      },
      body: JSON.stringify(body),
      withinSeconds: answerWithin,
    });
    await this.#server.text(what, response);
  }

  /** Puts files beside the run's rows, over those of the same names. */
  async putFiles(path: WandbRunPath, files: ReadonlyMap<string, Uint8Array>): Promise<void> {
    const schema = z.object({
      createRunFiles: z.object({
        uploadHeaders: z.array(z.string()).nullish(),
        files: z.array(z.object({ name: z.string(), uploadUrl: z.string() })),
      }),
    });
    const { createRunFiles } = await this.#graphql(
      `make files of the run ${path.run}`,
      schema,
      `mutation ($entity: String!, $project: String!, $run: String!, $files: [String!]!) {
        createRunFiles(input: {entityName: $entity, projectName: $project, runName: $run, files: $files}) {
          uploadHeaders files { name uploadUrl }
        }
      }`,
      { ...path, files: [...files.keys()] },
    );
    const headers = new Headers();
    for (const header of createRunFiles.uploadHeaders ?? []) {
      const colon = header.indexOf(":");
      headers.set(header.slice(0, colon), header.slice(colon + 1).trim());
    }
    for (const { name, uploadUrl } of createRunFiles.files) {
      const bytes = files.get(name);
      if (bytes === undefined) continue;
      const what = `take the file ${name}`;
      const response = await this.#server.request(what, uploadUrl.replace(/^\/+/, ""), {
        method: "PUT",
        headers,
        body: Buffer.from(bytes),
        withinSeconds: uploadWithin,
      });
      await this.#server.text(what, response);
    }
  }

  async alert({ entity, project, run }: WandbRunPath, alert: WandbAlert): Promise<void> {
    await this.#graphql(
      "send an alert",
      z.unknown(),
      `mutation ($entity: String!, $project: String!, $run: String!, $title: String!, $text: String!, $severity: AlertSeverity, $waitMs: Duration) {
        notifyScriptableRunAlert(input: {entityName: $entity, projectName: $project, runName: $run, title: $title, text: $text, severity: $severity, waitDuration: $waitMs}) {
          success
        }
      }`,
      { entity, project, run, ...alert },
    );
  }

  /** Whether the project has a saved view of that name. */
  async hasView(entity: string, project: string, view: string): Promise<boolean> {
    const edges = z.array(z.object({ node: z.object({ id: z.string() }) }));
    const schema = z.object({ project: z.object({ allViews: z.object({ edges }) }).nullable() });
    const found = await this.#graphql(
      "list its views",
      schema,
      `query ($entity: String, $project: String, $view: String) {
        project(name: $project, entityName: $entity) {
          allViews(viewType: "project-view", viewName: $view) { edges { node { id } } }
        }
      }`,
      { entity, project, view },
    );
    return (found.project?.allViews.edges ?? []).length > 0;
  }

  async createView(
    entity: string,
    project: string,
    view: { readonly name: string; readonly displayName: string; readonly spec: object },
  ): Promise<void> {
    await this.#graphql(
      "save a view",
      z.unknown(),
      `mutation ($entity: String, $project: String, $name: String, $displayName: String, $spec: String) {
        upsertView(input: {entityName: $entity, projectName: $project, name: $name, displayName: $displayName, description: "", type: "project-view", spec: $spec, createdUsing: WANDB_SDK}) {
          view { id }
        }
      }`,
      { entity, project, name: view.name, displayName: view.displayName, spec: JSON.stringify(view.spec) },
    );
  }

  async #graphql<Schema extends z.ZodType>(
    what: string,
    schema: Schema,
    query: string,
    variables: Readonly<Record<string, unknown>>,
  ): Promise<z.output<Schema>> {
    const response = await this.#server.request(what, "graphql", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ query, variables }),
      withinSeconds: answerWithin,
    });
    const answer = z
      .object({ data: z.unknown(), errors: z.array(z.object({ message: z.string() })).nullish() })
      .safeParse(await this.#server.json(what, response));
    if (!answer.success) throw this.#server.notTheServer(answer.error);
    const [error] = answer.data.errors ?? [];
    if (error !== undefined) {
      throw new TrackerError(`wandb: ${this.#server.address} refused to ${what}: ${error.message.slice(0, 300)}.`, {
        retryable: false,
      });
    }
    const data = schema.safeParse(answer.data.data);
    if (!data.success) throw this.#server.notTheServer(data.error);
    return data.data;
  }
}

function advice(status: number, words: string): string | undefined {
  if (status === 401) {
    return "Check api_key of this tracker in the collector's configuration, or WANDB_API_KEY, and that it is one of this server.";
  }
  if (status === 403) return "The API key may not write there: name an entity that it belongs to.";
  if (status === 409 && words.includes("deleted")) {
    return "A run that was deleted in W&B is not brought back; name another project or another run to go on.";
  }
  if (status === 404) return "Was the run deleted in W&B, and is base_url the address of a server of W&B?";
  return undefined;
}
