import { existsSync, readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { defaultCollectorPort, fieldErrors, identifierSchema } from "@noisescale/protocol";
import type { Tracker } from "@noisescale/tracker";
import { z } from "zod";
import {
  type AlertsConfigInput,
  alertsSchema,
  type ConfiguredAlerts,
  configuredAlerts,
} from "./alerts/alert-config.ts";
import type { ConfiguredTrackers } from "./outbox/configured-tracker.ts";
import { type Secret, secretSchema } from "./secret.ts";

export type TrackerConfigInput = {
  /** What a training job calls it. */
  readonly name: string;
  /** Projects whose runs may use it; left out: all. */
  readonly projects?: readonly string[] | undefined;
} & (
  | {
      readonly kind: "tensorboard";
      /** Directory that `tensorboard --logdir` reads; relative to the configuration's folder. */
      readonly root: string;
    }
  | {
      readonly kind: "mlflow";
      /** Left out: `MLFLOW_TRACKING_URI`. */
      readonly tracking_uri?: string | undefined;
      /** Left out, with no token either: `MLFLOW_TRACKING_USERNAME`, where it is set. */
      readonly username?: Secret | undefined;
      /** Left out, with no token either: `MLFLOW_TRACKING_PASSWORD`, where it is set. */
      readonly password?: Secret | undefined;
      /** Left out, with no username either: `MLFLOW_TRACKING_TOKEN`, where it is set. */
      readonly token?: Secret | undefined;
      /** Experiments that jobs may write to; left out: all that the credentials reach. */
      readonly experiments?: readonly string[] | undefined;
    }
  | {
      readonly kind: "trackio";
      /** Left out: `TRACKIO_SERVER_URL`. */
      readonly server_url?: string | undefined;
      /** Left out: the one in the address, or `TRACKIO_WRITE_TOKEN`. */
      readonly write_token?: Secret | undefined;
      /** trackio's projects that jobs may write to; left out: all. */
      readonly reachable_projects?: readonly string[] | undefined;
    }
  | {
      readonly kind: "wandb";
      /** Left out: `WANDB_API_KEY`. */
      readonly api_key?: Secret | undefined;
      /** Left out: `WANDB_BASE_URL`, or W&B's cloud. */
      readonly base_url?: string | undefined;
      /** Of runs that name none; left out: `WANDB_ENTITY`, or the key's own. */
      readonly entity?: string | undefined;
      /** Entities that jobs may write to; left out: all that the key reaches. */
      readonly reachable_entities?: readonly string[] | undefined;
      /** W&B's projects that jobs may write to; left out: all. */
      readonly reachable_projects?: readonly string[] | undefined;
      /** False: no saved view is added to a project. */
      readonly workspace?: boolean | undefined;
    }
);

export interface CollectorLimits {
  /** Largest body of a request [bytes]; 16 MiB by default. */
  readonly body_bytes: number;
  /** Runs that the store holds; 10,000 by default. */
  readonly runs: number;
  /** Different layer names of one run; 1024 by default. */
  readonly layers: number;
  /** Pages that watch a run live; 256 by default. */
  readonly live_pages: number;
}

/** `noisescale.config.json` as it is written; everything may be left out. */
export interface CollectorConfigInput {
  readonly host?: string | undefined;
  readonly port?: number | undefined;
  /** Names in a `Host` header that are let in beside the loopback ones. */
  readonly allowed_hosts?: readonly string[] | undefined;
  /** Address under which people reach the page, for links in notes. */
  readonly public_url?: string | undefined;
  /** Left out: `mlflow` where `MLFLOW_TRACKING_URI` is a server's address, `trackio` where `TRACKIO_SERVER_URL` is, `wandb` with a `WANDB_API_KEY`. */
  readonly trackers?: readonly TrackerConfigInput[] | undefined;
  readonly alerts?: AlertsConfigInput | undefined;
  readonly limits?: { readonly [Limit in keyof CollectorLimits]?: number | undefined } | undefined;
}

const positive = z.number().int().positive();
/** The address of a server, by default from the variable that the tracker's own client reads, or the public one. */
const addressOr = (variable: string, publicAddress?: string) =>
  z
    .url({ protocol: /^https?$/, error: "must be an http(s) address" })
    .optional()
    .transform((address, context) => {
      const found = address ?? fromEnvironment(variable) ?? publicAddress;
      if (found !== undefined && /^https?:$/.test(URL.parse(found)?.protocol ?? "")) return found;
      const message = `must be an http(s) address, here or in the environment variable ${variable}`;
      context.issues.push({ code: "custom", message, input: address });
      return z.NEVER;
    });
const anyTracker = { name: identifierSchema, projects: z.array(identifierSchema).optional() };
const trackerSchema = z.discriminatedUnion("kind", [
  z.strictObject({ ...anyTracker, kind: z.literal("tensorboard"), root: z.string().min(1) }),
  z.strictObject({
    ...anyTracker,
    kind: z.literal("mlflow"),
    tracking_uri: addressOr("MLFLOW_TRACKING_URI"),
    username: secretSchema.optional(),
    password: secretSchema.optional(),
    token: secretSchema.optional(),
    experiments: z.array(z.string().min(1)).optional(),
  }),
  z.strictObject({
    ...anyTracker,
    kind: z.literal("trackio"),
    server_url: addressOr("TRACKIO_SERVER_URL"),
    write_token: secretSchema.optional(),
    reachable_projects: z.array(z.string().min(1)).optional(),
  }),
  z.strictObject({
    ...anyTracker,
    kind: z.literal("wandb"),
    api_key: secretSchema.optional().transform((key, context) => {
      const found = key ?? fromEnvironment("WANDB_API_KEY");
      if (found !== undefined) return found;
      const message = "must be the API key, here or in the environment variable WANDB_API_KEY";
      context.issues.push({ code: "custom", message, input: key });
      return z.NEVER;
    }),
    base_url: addressOr("WANDB_BASE_URL", "https://api.wandb.ai"),
    entity: z.string().min(1).optional(),
    reachable_entities: z.array(z.string().min(1)).optional(),
    reachable_projects: z.array(z.string().min(1)).optional(),
    workspace: z.boolean().optional(),
  }),
]);
/** Without a word on trackers: those that the environment names, as their own clients would use them. */
function environmentTrackers(): { name: string; kind: "mlflow" | "trackio" | "wandb" }[] {
  const isServer = (variable: string): boolean => /^https?:/.test(fromEnvironment(variable) ?? "");
  return [
    ...(isServer("MLFLOW_TRACKING_URI") ? [{ name: "mlflow", kind: "mlflow" as const }] : []),
    ...(isServer("TRACKIO_SERVER_URL") ? [{ name: "trackio", kind: "trackio" as const }] : []),
    ...(fromEnvironment("WANDB_API_KEY") === undefined ? [] : [{ name: "wandb", kind: "wandb" as const }]),
  ];
}

const configSchema = z.strictObject({
  host: z.string().min(1).default("127.0.0.1"),
  port: z.number().int().min(0).max(65_535).default(defaultCollectorPort),
  allowed_hosts: z.array(z.string().min(1)).default([]),
  public_url: z.url({ protocol: /^https?$/ }).optional(),
  trackers: z
    .array(trackerSchema)
    .prefault(environmentTrackers)
    .refine((trackers) => new Set(trackers.map(({ name }) => name)).size === trackers.length, "names must differ"),
  alerts: alertsSchema.prefault({}),
  limits: z
    .strictObject({
      body_bytes: positive.default(16 * 1024 * 1024),
      runs: positive.default(10_000),
      layers: positive.default(1024),
      live_pages: positive.default(256),
    })
    .prefault({}),
});

type ParsedTracker = z.output<typeof trackerSchema>;

/** The configuration with its defaults and secrets filled in. */
export interface CollectorConfig {
  readonly host: string;
  readonly port: number;
  readonly allowedHosts: readonly string[];
  readonly publicUrl: string | undefined;
  readonly limits: CollectorLimits;
  readonly alerts: ConfiguredAlerts;
  /** Makes the configured trackers; a plugin is loaded only where it is used. */
  openTrackers(): Promise<ConfiguredTrackers>;
}

export const configFileName = "noisescale.config.json";

/** The configuration is wrong: the message names the file and the field. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

/**
 * @param source - how messages call it
 * @param folder - which relative paths start from
 * @throws ConfigError
 */
export function parseConfig(input: unknown, source: string, folder: string): CollectorConfig {
  const parsed = configSchema.safeParse(input);
  if (!parsed.success) {
    const places = fieldErrors(parsed.error).map(({ path, message }) =>
      path === "" ? message : `${path}: ${message}`,
    );
    throw new ConfigError(`${source} is not understood: ${places.join("; ")}`);
  }
  const { host, port, allowed_hosts: allowedHosts, public_url: publicUrl, trackers, alerts, limits } = parsed.data;
  return {
    host,
    port,
    allowedHosts,
    publicUrl: publicUrl?.replace(/\/$/, ""),
    limits,
    alerts: configuredAlerts(alerts),
    openTrackers: async () => new Map(await Promise.all(trackers.map((tracker) => configured(tracker, folder)))),
  };
}

/**
 * Reads the configuration file. Without a name: `noisescale.config.json` of the working directory, where there is one.
 *
 * @throws ConfigError
 */
export function readConfigFile(file?: string): CollectorConfig {
  if (file === undefined && !existsSync(configFileName)) return parseConfig({}, "The default configuration", ".");
  const name = file ?? configFileName;
  let input: unknown;
  try {
    input = JSON.parse(readFileSync(name, "utf8"));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") throw new ConfigError(`There is no file ${name}.`);
    throw new ConfigError(`${name} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
  return parseConfig(input, name, dirname(resolve(name)));
}

async function configured(parsed: ParsedTracker, folder: string) {
  const projects = parsed.projects === undefined ? undefined : new Set(parsed.projects);
  return [parsed.name, { tracker: await openTracker(parsed, folder), projects }] as const;
}

async function openTracker(parsed: ParsedTracker, folder: string): Promise<Tracker> {
  if (parsed.kind === "tensorboard") {
    const { tensorboardTracker } = await import("@noisescale/tracker-tensorboard");
    return tensorboardTracker({ root: resolve(folder, parsed.root) });
  }
  if (parsed.kind === "trackio") {
    const { trackioTracker } = await import("@noisescale/tracker-trackio");
    const inAddress = new URL(parsed.server_url).searchParams.has("write_token");
    return trackioTracker({
      serverUrl: parsed.server_url,
      writeToken: parsed.write_token ?? (inAddress ? undefined : fromEnvironment("TRACKIO_WRITE_TOKEN")),
      reachableProjects: parsed.reachable_projects,
    });
  }
  if (parsed.kind === "wandb") {
    const { wandbTracker } = await import("@noisescale/tracker-wandb");
    return wandbTracker({
      apiKey: parsed.api_key,
      baseUrl: parsed.base_url,
      entity: parsed.entity ?? fromEnvironment("WANDB_ENTITY"),
      reachableEntities: parsed.reachable_entities,
      reachableProjects: parsed.reachable_projects,
      workspace: parsed.workspace,
    });
  }
  const { mlflowTracker } = await import("@noisescale/tracker-mlflow");
  return mlflowTracker({
    trackingUri: parsed.tracking_uri,
    ...mlflowCredentials(parsed),
    experiments: parsed.experiments,
  });
}

type ParsedMlflow = Extract<ParsedTracker, { kind: "mlflow" }>;
type MlflowCredentials = Pick<ParsedMlflow, "username" | "password" | "token">;

/**
 * Those of the configuration, be they in the address; without any, those that MLflow's own client would use: a user before a
 * token.
 */
function mlflowCredentials({ tracking_uri, username, password, token }: ParsedMlflow): MlflowCredentials {
  const address = tracking_uri ?? fromEnvironment("MLFLOW_TRACKING_URI") ?? "";
  const isInAddress = (URL.parse(address)?.username ?? "") !== "";
  if (isInAddress || username !== undefined || token !== undefined) return { username, password, token };
  const user = fromEnvironment("MLFLOW_TRACKING_USERNAME");
  if (user !== undefined) return { username: user, password: password ?? fromEnvironment("MLFLOW_TRACKING_PASSWORD") };
  return { token: fromEnvironment("MLFLOW_TRACKING_TOKEN") };
}

function fromEnvironment(variable: string): string | undefined {
  const value = process.env[variable];
  return value === "" ? undefined : value;
}
