import { type AlertList, alertMessageSchema, type MeasurementInput } from "@noisescale/protocol";
import { expect, test, vi } from "vitest";
import { signedHeaders, webhookKey } from "../src/alerts/webhook-request.ts";
import { wireMeasurement } from "./measurement-source.ts";
import { temporaryDirectory } from "./temporary-directory.ts";
import { startTestCollector, type TestCollector } from "./test-collector.ts";
import { isGenuine, startWebhookReceiver, type WebhookReceiver } from "./webhook-receiver.ts";

vi.setConfig({ testTimeout: 30_000 });

const secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const hostile = "`<!channel> <img src=x onerror=alert(1)> [a](http://169.254.169.254) @here *b* &amp; \u202e\n2";
const eventually = <T>(check: () => T | Promise<T>): Promise<T> => vi.waitFor(check, { timeout: 15_000, interval: 20 });

const json = (name: string, { url }: WebhookReceiver) => ({ name, kind: "json" as const, url, secret });
const slack = (name: string, { url }: WebhookReceiver) => ({ name, kind: "slack" as const, url });

async function declare({ request }: TestCollector, run = "a", project = "p"): Promise<void> {
  expect((await request("PUT", `/v1/runs/${run}`, { project, name: hostile })).status).toBeLessThan(300);
}

/** Gradients that were not finite, far enough apart that each is news. */
async function raise({ request }: TestCollector, count: number, run = "a", attempt = 0): Promise<void> {
  const events = Array.from({ length: count }, (_, i) => ({
    step: 10 + 5000 * i,
    time_ms: 1000 + i,
    kind: "dropped",
    code: "not-finite",
  }));
  expect((await request("POST", `/v1/runs/${run}/events`, { attempt, events })).status).toBe(200);
}

async function state({ request }: TestCollector): Promise<AlertList["webhooks"]> {
  return (await request("GET", "/v1/alerts")).json<AlertList>().webhooks;
}
const idsOf = (receiver: WebhookReceiver) => receiver.received.map(({ headers }) => headers["webhook-id"]);

test("a message is JSON of the protocol's shape, signed so that a receiver can check it", async () => {
  const receiver = await startWebhookReceiver();
  const webhooks = [json("ops", receiver)];
  const collector = await startTestCollector({ config: { alerts: { webhooks }, public_url: "https://noise.example" } });
  await declare(collector);
  await raise(collector, 1);
  await eventually(() => expect(receiver.received).toHaveLength(1));
  const [message] = receiver.received;
  if (message === undefined) throw new Error("nothing came");
  expect(message.headers["content-type"]).toBe("application/json");
  expect(isGenuine(message, secret)).toBe(true);
  expect(isGenuine({ ...message, body: message.body.replace("10", "11") }, secret)).toBe(false);
  expect(isGenuine(message, `whsec_${Buffer.alloc(24).toString("base64")}`)).toBe(false);
  expect(isGenuine(message, secret, Date.now() + 400_000)).toBe(false);
  const body = alertMessageSchema.parse(JSON.parse(message.body));
  expect(body).toMatchObject({
    type: "alert",
    link: "https://noise.example/runs/a",
    alert: { run: "a", project: "p", name: hostile, rule: "not-finite", severity: "warning", step: 10, time_ms: 1000 },
  });
  expect(body.alert.id).toBe(message.headers["webhook-id"]);
  await eventually(async () =>
    expect(await state(collector)).toMatchObject([{ name: "ops", state: "ok", backlog: 0 }]),
  );
});

test("the signature is that of the specification's own example", () => {
  // Standard Webhooks 1.0.0, the reference libraries' test vector.
  const payload = '{"test": 2432232314}';
  const headers = signedHeaders(
    webhookKey("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
    "msg_p5jXN8AQM9LWM0D4loKWxJek",
    payload,
    1_614_265_330_000,
  );
  expect(headers["webhook-signature"]).toBe("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
});

test("Slack gets a text in which no name can make a mention, a link or formatting", async () => {
  const receiver = await startWebhookReceiver();
  const webhooks = [slack("team", receiver)];
  const collector = await startTestCollector({ config: { alerts: { webhooks }, public_url: "https://noise.example" } });
  await declare(collector);
  await raise(collector, 1);
  await eventually(() => expect(receiver.received).toHaveLength(1));
  const [{ body, headers } = { body: "", headers: {} }] = receiver.received;
  expect(headers).not.toHaveProperty("webhook-signature");
  const { text, ...rest } = JSON.parse(body) as { text: string };
  expect(rest).toEqual({});
  const [title, run, words, link] = text.split("\n");
  expect(title).toBe("⚠️ *The gradient was not finite at step 10*");
  expect(run).toBe(
    "Run `'&lt;!channel&gt; &lt;img src=x onerror=alert(1)&gt; [a](http://169.254.169.254) @here *b* &amp;amp; 2` of project `p`, step 10",
  );
  expect(words).toMatch(/^The hook left the step out\./);
  expect(link).toBe("<https://noise.example/runs/a|Open the run>");
  expect(text.replace(link ?? "", "")).not.toMatch(/<|>/);
});

test("a receiver that is away, cuts off, or asks for a pause gets each message once it takes it, in order, under one id", async () => {
  const receiver = await startWebhookReceiver();
  const failures: ReturnType<WebhookReceiver["answer"]>[] = [
    { status: 503 },
    "cut",
    { status: 429, headers: { "retry-after": "1" } },
  ];
  receiver.answer = () => failures.shift() ?? { status: 200 };
  const collector = await startTestCollector({ config: { alerts: { webhooks: [json("ops", receiver)] } } });
  await declare(collector);
  await raise(collector, 3);
  await eventually(() => expect(receiver.received).toHaveLength(6));
  const ids = idsOf(receiver);
  expect(new Set(ids.slice(0, 4)).size).toBe(1);
  expect(new Set(ids).size).toBe(3);
  expect(new Set(receiver.received.slice(0, 4).map(({ body }) => body)).size).toBe(1);
  for (const message of receiver.received) expect(isGenuine(message, secret)).toBe(true);
  const steps = receiver.received
    .slice(3)
    .map(({ body }) => (JSON.parse(body) as { alert: { step: number } }).alert.step);
  expect(steps).toEqual([10, 5010, 10_010]);
  expect((await collector.request("GET", "/metrics")).text).toContain(
    'noisescale_webhook_messages_total{result="failed"} 3',
  );
});

test("a message that is refused for good is shown with the reason, holds up none behind it, and is tried again at the next start", async () => {
  const receiver = await startWebhookReceiver();
  const dataDirectory = temporaryDirectory();
  const config = { alerts: { webhooks: [json("ops", receiver)] } };
  receiver.answer = () => (receiver.received.length === 1 ? { status: 401 } : { status: 200 });
  const first = await startTestCollector({ config, dataDirectory });
  await declare(first);
  await raise(first, 2);
  await eventually(() => expect(receiver.received).toHaveLength(2));
  await eventually(async () =>
    expect(await state(first)).toEqual([
      {
        name: "ops",
        state: "refused",
        backlog: 1,
        message: expect.stringMatching(/^HTTP 401: .*check the address and the secret/),
      },
    ]),
  );
  await first.collector.close();
  const second = await startTestCollector({ config, dataDirectory });
  await eventually(async () => expect(await state(second)).toMatchObject([{ state: "ok", backlog: 0 }]));
  expect(idsOf(receiver)).toHaveLength(3);
  expect(idsOf(receiver)[2]).toBe(idsOf(receiver)[0]);
});

test("a redirect is not followed", async () => {
  const inside = await startWebhookReceiver();
  const receiver = await startWebhookReceiver();
  receiver.answer = () => ({ status: 307, headers: { location: inside.url } });
  const collector = await startTestCollector({ config: { alerts: { webhooks: [json("ops", receiver)] } } });
  await declare(collector);
  await raise(collector, 1);
  await eventually(async () =>
    expect(await state(collector)).toMatchObject([{ state: "refused", message: expect.stringContaining("redirects") }]),
  );
  expect(inside.received).toHaveLength(0);
});

test("a webhook that never answers delays neither measurements, nor another webhook, nor the end of the collector for long", async () => {
  const dead = await startWebhookReceiver();
  dead.answer = () => "hang";
  const alive = await startWebhookReceiver();
  const webhooks = [json("dead", dead), json("alive", alive)];
  const collector = await startTestCollector({ config: { alerts: { webhooks } } });
  await declare(collector);
  await raise(collector, 4);
  await eventually(() => expect(alive.received).toHaveLength(4));
  expect(dead.received).toHaveLength(1);
  const measurements: MeasurementInput[] = Array.from({ length: 50 }, (_, step) => wireMeasurement(step));
  const answer = await collector.request("POST", "/v1/runs/a/measurements", { measurements });
  expect(answer.json()).toMatchObject({ accepted: 50 });
  expect(await state(collector)).toMatchObject([
    { name: "dead", state: "waiting", backlog: 4 },
    { name: "alive", state: "ok" },
  ]);
  await collector.collector.close();
});

test("a project's alerts go to the webhooks that it may use and that it asks for, and to no other", async () => {
  const [first, second, third] = [
    await startWebhookReceiver(),
    await startWebhookReceiver(),
    await startWebhookReceiver(),
  ];
  const webhooks = [json("one", first), { ...json("two", second), projects: ["q"] }, slack("three", third)];
  const alerts = { webhooks, projects: { p: { webhooks: ["one", "two"] } } };
  const collector = await startTestCollector({ config: { alerts } });
  await declare(collector, "a", "p");
  await declare(collector, "b", "q");
  await raise(collector, 1, "a");
  await raise(collector, 1, "b");
  await eventually(() => expect([first, second, third].map(({ received }) => received.length)).toEqual([2, 1, 1]));
  const run = ({ body }: { body: string }) => (JSON.parse(body) as { alert: { run: string } }).alert.run;
  expect(first.received.map(run)).toEqual(["a", "b"]);
  expect(second.received.map(run)).toEqual(["b"]);
});
