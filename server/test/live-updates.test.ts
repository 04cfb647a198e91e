import type { Snapshot } from "@noisescale/protocol";
import { expect, onTestFinished, test } from "vitest";
import { wireMeasurement } from "./measurement-source.ts";
import { startTestCollector } from "./test-collector.ts";

interface ServerEvent {
  readonly name: string;
  readonly data: unknown;
}

/** Server-sent events, one after the other. */
async function* serverEvents(url: string): AsyncGenerator<ServerEvent, void> {
  const abort = new AbortController();
  onTestFinished(() => abort.abort());
  const response = await fetch(url, { signal: abort.signal });
  expect(response.headers.get("content-type")).toMatch(/^text\/event-stream/);
  let text = "";
  const decoder = new TextDecoder();
  for await (const bytes of response.body ?? []) {
    text += decoder.decode(bytes, { stream: true });
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      const match = /^event: (.*)\ndata: (.*)$/.exec(text.slice(0, end));
      text = text.slice(end + 2);
      if (match !== null) yield { name: match[1] ?? "", data: JSON.parse(match[2] ?? "null") };
    }
  }
}

test("a page is sent the state and snapshot at once, each change at a bounded rate, and the end", async () => {
  const { request, collector } = await startTestCollector();
  await request("PUT", "/v1/runs/a", { project: "p" });
  const events = serverEvents(`${collector.url}/v1/runs/a/events`);
  expect((await events.next()).value).toEqual({ name: "state", data: { state: "live" } });
  expect((await events.next()).value).toMatchObject({ name: "snapshot", data: { measurements: 0 } });
  for (let step = 0; step < 40; step += 1) {
    await request("POST", "/v1/runs/a/measurements", { measurements: [wireMeasurement(step)] });
  }
  await request("POST", "/v1/runs/a/events", { events: [{ step: 40, time_ms: 1, kind: "finished", code: "end" }] });
  const seen: ServerEvent[] = [];
  for await (const event of events) {
    seen.push(event);
    const finished = seen.some(
      ({ name, data }) => name === "state" && (data as { state: string }).state === "finished",
    );
    if (finished && event.name === "snapshot" && (event.data as Snapshot).measurements === 40) break;
  }
  expect(seen.length).toBeLessThan(2 * 20);
});

test("a deleted run says so to its pages, and the collector's end lets them go", async () => {
  const { request, collector } = await startTestCollector();
  for (const run of ["a", "b"]) await request("PUT", `/v1/runs/${run}`, { project: "p" });
  const [a, b] = ["a", "b"].map((run) => serverEvents(`${collector.url}/v1/runs/${run}/events`));
  await a?.next();
  await b?.next();
  await request("DELETE", "/v1/runs/a");
  const names: string[] = [];
  for await (const { name } of a ?? []) names.push(name);
  expect(names).toEqual(["snapshot", "deleted"]);
  await collector.close();
  expect(await Array.fromAsync(b ?? [])).toHaveLength(1);
});
