/** A receiver of alerts; only the collector's own configuration names one. */
export interface Webhook {
  /** `json`: signed after the Standard Webhooks specification. `slack`: a message as Slack's incoming webhooks take it. */
  readonly kind: "json" | "slack";
  readonly url: string;
  /** Key of the signature; empty for `slack`, whose address is the secret. */
  readonly key: Uint8Array;
  /** Projects whose alerts go there; undefined: all. */
  readonly projects: ReadonlySet<string> | undefined;
}

/** By name. */
export type Webhooks = ReadonlyMap<string, Webhook>;
