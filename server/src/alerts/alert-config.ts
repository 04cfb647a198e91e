import { alertRuleSchema, alertSeveritySchema, identifierSchema } from "@noisescale/protocol";
import { z } from "zod";
import { type Secret, secretSchema } from "../secret.ts";
import { type AlertRulesInput, type AlertSettings, alertSettings } from "./alert-settings.ts";
import type { Webhook, Webhooks } from "./webhook.ts";
import { webhookKey } from "./webhook-request.ts";

export type WebhookConfigInput = {
  readonly name: string;
  readonly url: Secret;
  /** Projects whose alerts go there; left out: all. */
  readonly projects?: readonly string[] | undefined;
} & (
  | {
      /** JSON, signed. */
      readonly kind: "json";
      /** Key of the signature: `whsec_` and base64, or another text; at least 24 bytes. */
      readonly secret: Secret;
    }
  | { readonly kind: "slack" }
);

/** `alerts` in the configuration: what every project is watched for, what single ones are, and where alerts go. */
export interface AlertsConfigInput extends Omit<AlertRulesInput, "webhooks"> {
  readonly projects?: Readonly<Record<string, AlertRulesInput>> | undefined;
  readonly webhooks?: readonly WebhookConfigInput[] | undefined;
}

export interface ConfiguredAlerts {
  readonly settings: AlertSettings;
  readonly webhooks: Webhooks;
}

type ParsedWebhook = {
  readonly name: string;
  readonly url: string;
  readonly projects?: readonly string[] | undefined;
} & ({ readonly kind: "json"; readonly secret: string } | { readonly kind: "slack" });

/** `alerts` with its defaults and secrets filled in. */
export interface ParsedAlerts extends Omit<AlertRulesInput, "webhooks"> {
  readonly projects: Readonly<Record<string, AlertRulesInput>>;
  readonly webhooks: readonly ParsedWebhook[];
}

const rules = {
  batch_factor: z.number().gt(1).max(1000).optional(),
  jump_factor: z.number().gt(1).max(1000).optional(),
  dwell: z.number().int().min(1).max(1_000_000).optional(),
  uncalibrated: z.boolean().optional(),
  silence_seconds: z.number().positive().max(31_536_000).optional(),
  send_from: alertSeveritySchema.optional(),
  off: z.array(alertRuleSchema).optional(),
};

const leastKeyBytes = 24;

const receiver = {
  name: identifierSchema,
  url: secretSchema
    .refine(
      (url) => /^https?:$/.test(URL.parse(url)?.protocol ?? ""),
      "must be an http(s) address, or the name of the environment variable that holds one",
    )
    .refine(
      // No request can be made of it, and the words of that failure repeat the whole address.
      (url) => URL.parse(url)?.username === "" && URL.parse(url)?.password === "",
      "must hold no user name and password: no request is sent with those; the signature says who sends",
    ),
  projects: z.array(identifierSchema).optional(),
};
const webhookSchema = z.discriminatedUnion("kind", [
  z.strictObject({
    ...receiver,
    kind: z.literal("json"),
    secret: secretSchema.refine(
      (secret) => webhookKey(secret).length >= leastKeyBytes,
      `must hold at least ${leastKeyBytes} bytes: openssl rand -base64 32 makes some`,
    ),
  }),
  z.strictObject({ ...receiver, kind: z.literal("slack") }),
]);

export const alertsSchema: z.ZodType<ParsedAlerts, AlertsConfigInput> = z
  .strictObject({
    ...rules,
    projects: z
      .record(identifierSchema, z.strictObject({ ...rules, webhooks: z.array(identifierSchema).optional() }))
      .default({}),
    webhooks: z
      .array(webhookSchema)
      .default([])
      .refine((webhooks) => new Set(webhooks.map(({ name }) => name)).size === webhooks.length, "names must differ"),
  })
  .superRefine(({ projects, webhooks }, context) => {
    const names = webhooks.map(({ name }) => name);
    for (const [project, { webhooks: wanted = [] }] of Object.entries(projects)) {
      wanted.forEach((name, i) => {
        if (names.includes(name)) return;
        const configured = names.length === 0 ? "none is" : `configured: ${names.join(", ")}`;
        const message = `no webhook ${JSON.stringify(name)} is configured (${configured})`;
        context.addIssue({ code: "custom", path: ["projects", project, "webhooks", i], message });
      });
    }
  });

export function configuredAlerts({ projects, webhooks, ...defaults }: ParsedAlerts): ConfiguredAlerts {
  return {
    settings: alertSettings(defaults, new Map(Object.entries(projects))),
    webhooks: new Map(
      webhooks.map((webhook): [string, Webhook] => [
        webhook.name,
        {
          kind: webhook.kind,
          url: webhook.url,
          key: webhook.kind === "json" ? webhookKey(webhook.secret) : new Uint8Array(0),
          projects: webhook.projects === undefined ? undefined : new Set(webhook.projects),
        },
      ]),
    ),
  };
}
