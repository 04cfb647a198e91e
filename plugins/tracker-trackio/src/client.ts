import { TrackerServer } from "@noisescale/tracker";
import { z } from "zod";

/** How to reach and enter a trackio server. */
export interface TrackioConnection {
  /** `http(s)://host[:port][/prefix]`; a `write_token` in its query, as trackio prints it, is used as `writeToken`. */
  readonly serverUrl: string;
  readonly writeToken?: string | undefined;
}

/** A run in a project's list. */
export interface TrackioRun {
  readonly id: string;
  readonly name: string;
}

/** One row of a run, as `bulk_log` takes it. */
export interface TrackioRow {
  readonly project: string;
  readonly run: string;
  readonly run_id: string;
  readonly step: number;
  readonly metrics: Readonly<Record<string, unknown>>;
  /** Rows of a project that have the same one are the same row: the first stands. */
  readonly log_id: string;
}

/** One alert of a run, as `bulk_alert` takes it. */
export interface TrackioAlert {
  readonly project: string;
  readonly run: string;
  readonly run_id: string;
  readonly title: string;
  readonly text: string;
  readonly level: "info" | "warn" | "error";
  readonly step: number;
  /** ISO 8601. */
  readonly timestamp: string;
  /** Alerts of a project that have the same one are the same alert: the first stands. */
  readonly alert_id: string;
}

/** A file beside a run's rows. */
export interface TrackioMedia {
  readonly project: string;
  /** Folder below the project's; the run's name in what trackio itself writes. */
  readonly folder: string;
  readonly runId: string;
  readonly step: number;
  readonly fileName: string;
  readonly contentType: string;
  readonly bytes: Uint8Array;
}

/** Limits of one call [s]. */
const answerWithin = 60;
const uploadWithin = 120;

const runsSchema: z.ZodType<TrackioRun[]> = z.array(z.object({ id: z.string(), name: z.string() }));

/** @throws RangeError where the configuration is wrong */
export function trackioServer(connection: TrackioConnection): TrackerServer {
  const inAddress = URL.parse(connection.serverUrl)?.searchParams.get("write_token") ?? undefined;
  const token = connection.writeToken ?? inAddress;
  return new TrackerServer({
    kind: "trackio",
    product: "trackio",
    address: connection.serverUrl,
    addressField: "server_url",
    headers: token === undefined ? {} : { "x-trackio-write-token": token },
    advice,
  });
}

/** The calls of trackio's HTTP interface that the tracker makes, and no more. Each throws TrackerError. */
export class TrackioClient {
  readonly #server: TrackerServer;

  constructor(server: TrackerServer) {
    this.#server = server;
  }

  /** The same client, for one call of the collector: its requests are cut by the signal too. */
  cutBy(signal: AbortSignal | undefined): TrackioClient {
    return new TrackioClient(this.#server.cutBy(signal));
  }

  /** Address without a token and without a slash at its end. */
  get server(): string {
    return this.#server.address;
  }

  /** Cuts calls that are under way. */
  close(): void {
    this.#server.close();
  }

  /** Runs that have logged something; none where there is no such project. */
  async runs(project: string): Promise<TrackioRun[]> {
    const what = `list the runs of the project ${JSON.stringify(project)}`;
    const parsed = runsSchema.safeParse(await this.#call(what, "get_runs_for_project", { project }));
    if (!parsed.success) throw this.#server.notTheServer(parsed.error);
    return parsed.data;
  }

  async log(logs: readonly TrackioRow[]): Promise<void> {
    await this.#call("take metrics", "bulk_log", { logs, hf_token: null });
  }

  async alert(alerts: readonly TrackioAlert[]): Promise<void> {
    await this.#call("take alerts", "bulk_alert", { alerts, hf_token: null });
  }

  async deleteRun(project: string, runId: string): Promise<void> {
    await this.#call("delete a run", "delete_run", { project, run_id: runId });
  }

  /** Puts a file, over one of the same name. */
  async putMedia(media: TrackioMedia): Promise<void> {
    const what = `take the file ${media.fileName}`;
    const form = new FormData();
    form.append("files", new Blob([Buffer.from(media.bytes)], { type: media.contentType }), media.fileName);
    const response = await this.#server.request(what, "api/upload", {
      method: "POST",
      body: form,
      withinSeconds: uploadWithin,
    });
    const staged = z.object({ paths: z.tuple([z.string()]) }).safeParse(await this.#server.json(what, response));
    if (!staged.success) throw this.#server.notTheServer(staged.error);
    const upload = {
      project: media.project,
      run: media.folder,
      run_id: media.runId,
      step: media.step,
      relative_path: null,
      uploaded_file: {
        path: staged.data.paths[0],
        orig_name: media.fileName,
        meta: { _type: "gradio.FileData" },
      },
    };
    await this.#call(what, "bulk_upload_media", { uploads: [upload], hf_token: null });
  }

  /** @returns what the function answered */
  async #call(what: string, name: string, parameters: Readonly<Record<string, unknown>>): Promise<unknown> {
    const response = await this.#server.request(what, `api/${name}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(parameters),
      withinSeconds: answerWithin,
    });
    const answer = z.object({ data: z.unknown() }).safeParse(await this.#server.json(what, response));
    if (!answer.success) throw this.#server.notTheServer(answer.error);
    return answer.data.data;
  }
}

function advice(status: number, words: string): string | undefined {
  if (status === 400 && words.includes("write_token")) {
    return "Put the server's TRACKIO_WRITE_TOKEN into write_token of this tracker in the collector's configuration.";
  }
  if (status === 404 && words.includes("Unknown API")) {
    return "It is another version of trackio than this plugin was tested with; see its README.";
  }
  if (status === 503) return "Writes are paused there; it will be tried again.";
  return undefined;
}
