import { createHash, randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { gzipSync } from "node:zlib";
import { GraphQLError, graphql } from "graphql";
import { wandbSchema } from "./wandb-schema.ts";

/** A key that the server knows, with the one entity that it may write to. */
export const apiKey: string = "a".repeat(40);
export const entity = "me";

/** One row of a run's history: who wrote it, and where. */
export interface StoredRow {
  /** `X-WANDB-ASYNC-CLIENT-ID`; empty for the run's own stream. */
  readonly client: string;
  readonly agent: string;
  readonly content: Readonly<Record<string, unknown>>;
}

export interface StoredAlert {
  readonly title: string;
  readonly text: string;
  readonly severity: string;
  readonly timeMs: number;
  readonly waitMs: number;
}

/** A run as the server keeps it. */
export class StoredRun {
  readonly id: string = randomUUID();
  readonly name: string;
  readonly project: string;
  displayName = "";
  group: string | null = null;
  jobType: string | null = null;
  state = "running";
  config: Record<string, unknown> = {};
  summary: Record<string, unknown> = {};
  /** Rows by the writer's client id, each at its offset. */
  readonly history: Map<string, (StoredRow | undefined)[]> = new Map();
  readonly files: Map<string, Buffer> = new Map();
  readonly alerts: StoredAlert[] = [];

  constructor(project: string, name: string) {
    this.project = project;
    this.name = name;
    this.displayName = name;
  }

  get rows(): readonly StoredRow[] {
    return [...this.history.values()].flat().filter((row) => row !== undefined);
  }

  /** Whether the trainer's own record says that it started the run in shared mode (a feature of W&B's telemetry). */
  get isShared(): boolean {
    const own = this.config["_wandb"] as { value?: { t?: { "3"?: number[] } } } | undefined;
    return own?.value?.t?.["3"]?.includes(67) === true;
  }
}

type Input = Readonly<Record<string, unknown>>;

/**
 * What W&B does with the requests of its clients, as far as this plugin relies on it: runs, history rows by writer and offset,
 * files, alerts and views. Its measure is the Python client, which works with it end to end in the tests.
 */
export class WandbServer {
  readonly runs: Map<string, StoredRun> = new Map();
  readonly views: Map<string, { id: string; name: string; displayName: string; type: string; spec: string }> =
    new Map();
  /** What the real server takes and a run is the worse for: rows overwritten by another writer, gaps, a foreign end. */
  readonly violations: string[] = [];
  /** Answers of the next requests in place of the server's own. */
  readonly planned: { status: number; headers?: Record<string, string> }[] = [];
  /** Set to cut the connection after the next history rows were taken: the answer is lost. */
  loseNextAnswer = false;
  /** Called when rows were taken, before they are answered. */
  onRows: () => void = () => {};
  readonly #deleted = new Set<string>();
  readonly #server: Server;
  #url = "";

  private constructor() {
    this.#server = createServer((request, response) => {
      this.#handle(request, response).catch((error: unknown) => {
        response.writeHead(500, { "content-type": "application/json" });
        response.end(JSON.stringify({ errors: [{ message: String(error) }] }));
      });
    });
  }

  static async start(): Promise<WandbServer> {
    const server = new WandbServer();
    server.#server.listen(0, "127.0.0.1");
    await once(server.#server, "listening");
    const address = server.#server.address();
    if (address === null || typeof address === "string") throw new Error("no port was given");
    server.#url = `http://127.0.0.1:${address.port}`;
    return server;
  }

  get url(): string {
    return this.#url;
  }

  run(project: string, name: string): StoredRun {
    const run = this.runs.get(`${project}/${name}`);
    if (run === undefined) throw new Error(`there is no run ${project}/${name}`);
    return run;
  }

  /** As a person does it on W&B's page. */
  delete(run: StoredRun): void {
    this.runs.delete(`${run.project}/${run.name}`);
    this.#deleted.add(`${run.project}/${run.name}`);
  }

  async stop(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const body = Buffer.concat(parts);
    const path = decodeURIComponent(new URL(request.url ?? "/", this.#url).pathname);
    const answer = (status: number, content: unknown, headers: Record<string, string> = {}): void => {
      const text = JSON.stringify(content);
      const zipped = String(request.headers["accept-encoding"]).includes("gzip");
      response.writeHead(status, {
        "content-type": "application/json",
        ...(zipped ? { "content-encoding": "gzip" } : {}),
        ...headers,
      });
      response.end(zipped ? gzipSync(text) : text);
    };
    const [, storage, project = "", name = "", ...file] = path.split("/");
    if (storage === "storage") {
      const run = this.runs.get(`${project}/${name}`);
      const key = file.join("/");
      if (run === undefined) answer(404, { error: "no such upload" });
      else if (request.method === "PUT") {
        run.files.set(key, body);
        answer(200, {});
      } else response.end(run.files.get(key) ?? "");
      return;
    }

    const planned = this.planned.shift();
    if (planned !== undefined) {
      answer(planned.status, { error: "planned by the test" }, planned.headers);
      return;
    }
    const authorization = `Basic ${Buffer.from(`api:${apiKey}`).toString("base64")}`;
    if (request.headers.authorization !== authorization) {
      answer(401, { errors: [{ message: "user is not logged in" }] });
      return;
    }
    if (path === "/graphql") {
      const { query, variables } = JSON.parse(body.toString());
      const result = await graphql({
        schema: wandbSchema,
        source: query,
        variableValues: variables,
        rootValue: this.#root(),
      });
      const status = result.errors?.map(({ extensions }) => Number(extensions["status"] ?? 400))[0] ?? 200;
      answer(status, result);
      return;
    }
    const stream = /^\/files\/([^/]+)\/([^/]+)\/([^/]+)\/file_stream$/.exec(path);
    if (stream === null || stream[1] !== entity) {
      answer(404, { error: `nothing at ${path}` });
      return;
    }
    const run = this.runs.get(`${stream[2]}/${stream[3]}`);
    if (run === undefined) {
      answer(404, { error: `run ${entity}/${stream[2]}/${stream[3]} not found` });
      return;
    }
    try {
      this.#stream(run, request, JSON.parse(body.toString()));
    } catch (error) {
      answer(400, { error: String(error) });
      return;
    }
    this.onRows();
    if (this.loseNextAnswer) {
      this.loseNextAnswer = false;
      response.destroy();
      return;
    }
    answer(200, { exitcode: null, limits: {} });
  }

  #stream(run: StoredRun, request: IncomingMessage, body: Input): void {
    const agent = String(request.headers["user-agent"]);
    const isAsync = request.headers["x-wandb-use-async-filestream"] === "true";
    const client = isAsync ? String(request.headers["x-wandb-async-client-id"]) : "";
    const violation = (what: string): void => {
      this.violations.push(`${run.project}/${run.name}: ${agent} ${what}`);
    };
    if (isAsync !== run.isShared) violation(`writes ${isAsync ? "beside" : "over"} the trainer of the run`);
    const files = (body["files"] ?? {}) as Record<string, { offset: number; content: string[] }>;
    const history = files["wandb-history.jsonl"];
    if (history !== undefined) {
      const rows = run.history.get(client) ?? [];
      run.history.set(client, rows);
      if (history.offset > rows.length) violation(`left a gap at ${rows.length}`);
      for (const [i, line] of history.content.entries()) {
        const content = JSON.parse(line) as Record<string, unknown>;
        const at = history.offset + i;
        const before = rows[at];
        if (before !== undefined && before.agent !== agent) violation(`overwrote row ${at} of ${before.agent}`);
        rows[at] = { client, agent, content };
      }
    }
    const summary = files["wandb-summary.json"]?.content.at(-1);
    if (summary !== undefined) {
      const sent = JSON.parse(summary) as Record<string, unknown>;
      run.summary = isAsync ? { ...run.summary, ...sent } : sent;
    }
    if (body["complete"] === true) {
      if (run.isShared && agent !== "wandb-core") violation("ended the trainer's run");
      run.state = body["exitcode"] === 0 ? "finished" : "failed";
    }
  }

  #root(): Readonly<Record<string, unknown>> {
    return {
      viewer: () => ({
        id: "u1",
        name: entity,
        entity,
        username: entity,
        email: "",
        flags: "{}",
        teams: { edges: [] },
      }),
      serverInfo: () => ({ features: [] }),
      entity: ({ name }: { name: string }) => ({ id: name, name, organization: null }),
      project: (input: Input) => this.#project(input),
      model: (input: Input) => this.#project(input),
      upsertBucket: ({ input }: { input: Input }) => this.#upsertRun(input),
      deleteRun: ({ input }: { input: Input }) => {
        const run = [...this.runs.values()].find(({ id }) => id === input["id"]);
        if (run === undefined) throw refusal(404, "run not found");
        this.delete(run);
        return { clientMutationId: null };
      },
      createRunFiles: ({ input }: { input: Input }) => {
        const run = this.#ownRun(input);
        const files = (input["files"] as string[]).map((name) => ({
          name,
          uploadUrl: `${this.#url}/storage/${run.project}/${run.name}/${name}`,
        }));
        return { runID: run.id, uploadHeaders: [], files };
      },
      notifyScriptableRunAlert: ({ input }: { input: Input }) => {
        const { alerts } = this.#ownRun(input);
        const timeMs = Date.now();
        const waitMs = Number(input["waitDuration"] ?? 0);
        const waits = alerts.some(({ title, ...sent }) => title === input["title"] && timeMs - sent.timeMs < waitMs);
        if (!waits) {
          const [title, text, severity] = ["title", "text", "severity"].map((key) => String(input[key]));
          alerts.push({ title: title ?? "", text: text ?? "", severity: severity ?? "", timeMs, waitMs });
        }
        return { success: !waits };
      },
      upsertView: ({ input }: { input: Input }) => {
        this.#checkEntity(input);
        const id = String(input["id"] ?? randomUUID());
        const [name, displayName, type, spec] = ["name", "displayName", "type", "spec"].map((key) =>
          String(input[key]),
        );
        const inserted = !this.views.has(id);
        const view = { id, name: name ?? "", displayName: displayName ?? "", type: type ?? "", spec: spec ?? "" };
        this.views.set(id, view);
        return { view, inserted };
      },
    };
  }

  #checkEntity(input: Input): void {
    if (input["entityName"] !== entity) throw refusal(403, "permission denied");
  }

  #ownRun(input: Input): StoredRun {
    this.#checkEntity(input);
    const run = this.runs.get(`${input["projectName"]}/${input["runName"]}`);
    if (run === undefined) throw refusal(404, `run ${input["runName"]} not found`);
    return run;
  }

  #project(input: Input): unknown {
    this.#checkEntity(input);
    const name = String(input["name"]);
    const run = ({ name: wanted }: { name: string }): unknown => {
      const found = this.runs.get(`${name}/${wanted}`);
      return found === undefined ? null : this.#shown(found);
    };
    return {
      id: `p-${name}`,
      internalId: "1",
      name,
      entity: { id: entity, name: entity },
      readOnly: false,
      run,
      bucket: run,
      allViews: ({ viewName, viewType }: { viewName?: string; viewType?: string }) => ({
        edges: [...this.views.values()]
          .filter((view) => view.type === viewType && (viewName === undefined || view.name === viewName))
          .map((node) => ({ node })),
      }),
    };
  }

  #upsertRun(input: Input): unknown {
    this.#checkEntity({ entityName: input["entityName"] ?? entity });
    const key = `${input["modelName"]}/${input["name"]}`;
    if (this.#deleted.has(key)) throw refusal(409, `run ${key} was previously created and deleted; try a new run name`);
    const existing = this.runs.get(key);
    const run = existing ?? new StoredRun(String(input["modelName"]), String(input["name"]));
    this.runs.set(key, run);
    run.state = "running";
    if (input["displayName"] != null) run.displayName = String(input["displayName"]);
    if (input["groupName"] != null) run.group = String(input["groupName"]);
    if (input["jobType"] != null) run.jobType = String(input["jobType"]);
    if (input["config"] != null) run.config = JSON.parse(String(input["config"]));
    return { bucket: this.#shown(run), inserted: existing === undefined };
  }

  #shown(run: StoredRun): unknown {
    const now = new Date().toISOString();
    return {
      id: run.id,
      projectId: "1",
      name: run.name,
      displayName: run.displayName,
      tags: [],
      state: run.state,
      config: JSON.stringify(run.config),
      group: run.group,
      jobType: run.jobType,
      readOnly: false,
      createdAt: now,
      heartbeatAt: now,
      systemMetrics: "{}",
      summaryMetrics: JSON.stringify(run.summary),
      user: { name: entity, username: entity },
      project: { id: `p-${run.project}`, name: run.project, entity: { id: entity, name: entity } },
      historyLineCount: run.rows.length,
      logLineCount: 0,
      eventsLineCount: 0,
      historyTail: JSON.stringify(run.rows.slice(-1).map(({ content }) => JSON.stringify(content))),
      eventsTail: "[]",
      historyKeys: JSON.stringify({ lastStep: run.rows.length - 1 }),
      history: () => run.rows.map(({ content }) => JSON.stringify(content)),
      fileCount: run.files.size,
      files: ({ names }: { names?: readonly string[] }) => ({
        edges: [...run.files]
          .filter(([name]) => names === undefined || names.length === 0 || names.includes(name))
          .map(([name, bytes]) => ({
            cursor: name,
            node: {
              id: name,
              name,
              url: `${this.#url}/storage/${run.project}/${run.name}/${name}`,
              directUrl: `${this.#url}/storage/${run.project}/${run.name}/${name}`,
              sizeBytes: bytes.length,
              mimetype: "application/octet-stream",
              updatedAt: now,
              md5: createHash("md5").update(bytes).digest("base64"),
            },
          })),
        pageInfo: { endCursor: null, hasNextPage: false },
      }),
    };
  }
}

function refusal(status: number, message: string): GraphQLError {
  return new GraphQLError(message, { extensions: { status } });
}
