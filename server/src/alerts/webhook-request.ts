import { createHmac } from "node:crypto";
import { retryAfterSeconds } from "@noisescale/tracker";
import type { Webhook } from "./webhook.ts";

/**
 * Headers of a delivery after the Standard Webhooks specification (1.0.0): the id is the same in every try, and the signature
 * is over `<id>.<timestamp>.<body>`.
 *
 * @param nowMs - of this try: a receiver refuses old ones, so that none can be played back
 */
export function signedHeaders(key: Uint8Array, id: string, body: string, nowMs: number): Record<string, string> {
  const timestamp = String(Math.floor(nowMs / 1000));
  const signature = createHmac("sha256", key).update(`${id}.${timestamp}.${body}`).digest("base64");
  return { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": `v1,${signature}` };
}

/** Key of a configured secret: the bytes of `whsec_<base64>`, else those of the text. */
export function webhookKey(secret: string): Uint8Array {
  return secret.startsWith("whsec_")
    ? Buffer.from(secret.slice("whsec_".length), "base64")
    : Buffer.from(secret, "utf8");
}

/** How a delivery went. */
export type WebhookOutcome =
  | { readonly taken: true }
  | {
      readonly taken: false;
      readonly message: string;
      /** False: the receiver refuses this message for good. */
      readonly retryable: boolean;
      readonly retryAfterSeconds: number | undefined;
    };

/** Limit of one call [ms]. */
const answerWithinMs = 10_000;

/** Sends one message. Redirects are not followed: they would take it to an address that nobody configured. */
export async function postWebhook(
  webhook: Webhook,
  id: string,
  body: string,
  signal: AbortSignal,
): Promise<WebhookOutcome> {
  const signed = webhook.kind === "json" ? signedHeaders(webhook.key, id, body, Date.now()) : {};
  try {
    const response = await fetch(webhook.url, {
      method: "POST",
      headers: { "content-type": "application/json", "user-agent": "noisescale", ...signed },
      body,
      redirect: "manual",
      signal: AbortSignal.any([signal, AbortSignal.timeout(answerWithinMs)]),
    });
    await response.body?.cancel();
    if (response.ok) return { taken: true };
    return refusal(response);
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    const reason = cause instanceof Error ? cause.message : String(cause);
    const message = `no answer (${reason}): it is tried again`;
    return { taken: false, message, retryable: true, retryAfterSeconds: undefined };
  }
}

function refusal({ status, headers }: Response): WebhookOutcome {
  const retryable = status === 408 || status === 425 || status === 429 || status >= 500;
  const advice = retryable
    ? "it is tried again"
    : status >= 300 && status < 400
      ? "it redirects, and messages are not sent on: put the final address into the configuration"
      : "this message is not sent again until the collector starts anew: check the address and the secret";
  return {
    taken: false,
    message: `HTTP ${status}: ${advice}`,
    retryable,
    retryAfterSeconds: retryable ? retryAfterSeconds(headers.get("retry-after")) : undefined,
  };
}
