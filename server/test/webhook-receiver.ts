import { createHmac, timingSafeEqual } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";

export interface ReceivedMessage {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** What a receiver answers to a message: a status with headers, or nothing at all. */
export type ReceiverAnswer = { readonly status: number; readonly headers?: Record<string, string> } | "hang" | "cut";

export interface WebhookReceiver {
  readonly url: string;
  /** All that came, whatever was answered. */
  readonly received: readonly ReceivedMessage[];
  /** What it answers from now on. */
  answer: (message: ReceivedMessage) => ReceiverAnswer;
}

/** A receiver of webhooks on a free port, gone after the test. */
export async function startWebhookReceiver(): Promise<WebhookReceiver> {
  const received: ReceivedMessage[] = [];
  const receiver = { url: "", received, answer: (): ReceiverAnswer => ({ status: 204 }) };
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const message = { headers: request.headers, body: Buffer.concat(chunks).toString("utf8") };
    received.push(message);
    const answer = (receiver as WebhookReceiver).answer(message);
    if (answer === "hang") return;
    if (answer === "cut") request.socket.destroy();
    else response.writeHead(answer.status, answer.headers).end();
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  receiver.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`;
  return receiver;
}

/** As a receiver checks it, written from the specification: the signature over id, timestamp and body, and its age. */
export function isGenuine({ headers, body }: ReceivedMessage, secret: string, nowMs: number = Date.now()): boolean {
  const { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": signatures } = headers;
  if (typeof id !== "string" || typeof timestamp !== "string" || typeof signatures !== "string") return false;
  if (Math.abs(nowMs / 1000 - Number(timestamp)) > 300) return false;
  const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
  const expected = createHmac("sha256", key).update(`${id}.${timestamp}.${body}`).digest();
  return signatures.split(" ").some((signature) => {
    const [version, value = ""] = signature.split(",");
    const given = Buffer.from(value, "base64");
    return version === "v1" && given.length === expected.length && timingSafeEqual(given, expected);
  });
}
