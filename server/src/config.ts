import { existsSync, readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { defaultCollectorPort, fieldErrors, identifierSchema } from "@noisescale/protocol";
import type { Tracker } from "@noisescale/tracker";
import { z } from "zod";
import type { ConfiguredTrackers } from "./outbox/configured-tracker.ts";

/** A text, or the environment variable that holds it: a secret need not lie in a file. */
export type Secret = string | { readonly env: string };

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
      readonly tracking_uri: string;
      readonly username?: Secret | undefined;
      readonly password?: Secret | undefined;
      readonly token?: Secret | undefined;
      /** Experiments that jobs may write to; left out: all that the credentials reach. */
      readonly experiments?: readonly string[] | undefined;
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
  readonly trackers?: readonly TrackerConfigInput[] | undefined;
  readonly limits?: { readonly [Limit in keyof CollectorLimits]?: number | undefined } | undefined;
}

const positive = z.number().int().positive();
const secretSchema = z
  .union([z.string().min(1), z.strictObject({ env: z.string().min(1) })], 'must be a text or {"env": name}')
  .transform((secret, context) => {
    if (typeof secret === "string") return secret;
    const value = process.env[secret.env];
    if (value !== undefined && value !== "") return value;
    const message = `the environment variable ${secret.env} is not set`;
    context.issues.push({ code: "custom", message, input: secret });
    return z.NEVER;
  });
const anyTracker = { name: identifierSchema, projects: z.array(identifierSchema).optional() };
const trackerSchema = z.discriminatedUnion("kind", [
  z.strictObject({ ...anyTracker, kind: z.literal("tensorboard"), root: z.string().min(1) }),
  z.strictObject({
    ...anyTracker,
    kind: z.literal("mlflow"),
    tracking_uri: z.url({ protocol: /^https?$/ }),
    username: secretSchema.optional(),
    password: secretSchema.optional(),
    token: secretSchema.optional(),
    experiments: z.array(z.string().min(1)).optional(),
  }),
]);
const configSchema = z.strictObject({
  host: z.string().min(1).default("127.0.0.1"),
  port: z.number().int().min(0).max(65_535).default(defaultCollectorPort),
  allowed_hosts: z.array(z.string().min(1)).default([]),
  public_url: z.url({ protocol: /^https?$/ }).optional(),
  trackers: z
    .array(trackerSchema)
    .default([])
    .refine((trackers) => new Set(trackers.map(({ name }) => name)).size === trackers.length, "names must differ"),
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
  const { host, port, allowed_hosts: allowedHosts, public_url: publicUrl, trackers, limits } = parsed.data;
  return {
    host,
    port,
    allowedHosts,
    publicUrl: publicUrl?.replace(/\/$/, ""),
    limits,
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
  const { mlflowTracker } = await import("@noisescale/tracker-mlflow");
  const { tracking_uri: trackingUri, username, password, token, experiments } = parsed;
  return mlflowTracker({
    trackingUri,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(token === undefined ? {} : { token }),
    ...(experiments === undefined ? {} : { experiments }),
  });
}
