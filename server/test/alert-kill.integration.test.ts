import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { AlertList } from "@noisescale/protocol";
import { expect, onTestFinished, test } from "vitest";
import { seededUniform } from "./measurement-source.ts";
import { temporaryDirectory } from "./temporary-directory.ts";
import { isGenuine, startWebhookReceiver } from "./webhook-receiver.ts";

const secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

interface Running {
  readonly url: string;
  readonly child: ChildProcess;
}

async function start(directory: string, alerts: unknown): Promise<Running> {
  const script = fileURLToPath(new URL("collector-process.ts", import.meta.url));
  const flags = ["--conditions=@noisescale/source", script, directory, JSON.stringify(alerts)];
  const child = spawn(process.execPath, flags, { stdio: ["ignore", "pipe", "ignore"] });
  onTestFinished(() => void child.kill("SIGKILL"));
  const [url] = (await once(createInterface(child.stdout), "line")) as [string];
  return { url, child };
}

const write = (url: string, method: string, body: unknown): Promise<Response> =>
  fetch(url, { method, headers: { "content-type": "application/json" }, body: JSON.stringify(body) });

test("SIGKILL at any moment loses no alert, and the receiver can tell each by its id", async () => {
  const directory = temporaryDirectory();
  const receiver = await startWebhookReceiver();
  const webhooks = [{ name: "ops", kind: "json", url: receiver.url, secret }];
  const uniform = seededUniform(5);
  const acknowledged = new Set<number>();
  let next = 0;
  for (let round = 0; round < 5; round += 1) {
    // What the killed collector left is sent as soon as the next one starts.
    receiver.answer = () => ({ status: 200 });
    const running = await start(directory, { webhooks });
    // A run of its own each time: one run sends at most 25 alerts of a rule.
    const run = `${running.url}/v1/runs/a${round}`;
    await write(run, "PUT", { project: "p" });
    const dying = receiver.received.length + 1 + Math.floor(uniform() * 12);
    const exited = once(running.child, "exit");
    // In the middle of a delivery: before the answer, or after it, when the collector has not written it down.
    receiver.answer = () => {
      if (receiver.received.length < dying) return { status: 200 };
      running.child.kill("SIGKILL");
      return round % 2 === 0 ? "cut" : { status: 200 };
    };
    for (let sent = 0; sent < 16; sent += 1) {
      const step = next * 5000;
      next += 1;
      const events = [{ step, time_ms: 1000, kind: "dropped", code: "not-finite" }];
      try {
        const answer = await write(`${run}/events`, "POST", { events });
        if (answer.ok) acknowledged.add(step);
      } catch {
        // Cut off, so that nothing was promised.
        break;
      }
    }
    await exited;
  }

  receiver.answer = () => ({ status: 200 });
  const last = await start(directory, { webhooks });
  const list = async () => (await (await fetch(`${last.url}/v1/alerts?limit=1000`)).json()) as AlertList;
  await expect.poll(async () => (await list()).webhooks, { timeout: 30_000 }).toMatchObject([{ state: "ok" }]);
  const { alerts } = await list();
  const steps = new Set(alerts.map(({ step }) => step));
  expect([...acknowledged].filter((step) => !steps.has(step))).toEqual([]);
  expect(steps.size).toBe(alerts.length);

  const byId = Map.groupBy(receiver.received, ({ headers }) => headers["webhook-id"]);
  expect(new Set(byId.keys())).toEqual(new Set(alerts.map(({ id }) => id)));
  for (const messages of byId.values()) expect(new Set(messages.map(({ body }) => body)).size).toBe(1);
  for (const message of receiver.received) expect(isGenuine(message, secret)).toBe(true);
  // A message that came twice is one whose answer was lost: at most one a kill.
  expect(receiver.received.length - byId.size).toBeLessThanOrEqual(5);
  const order = [...byId.values()].map(
    ([first]) => (JSON.parse(first?.body ?? "") as { alert: { step: number } }).alert.step,
  );
  expect(order).toEqual(order.toSorted((one, other) => one - other));
});
