import type { RunDetail, RunSummary } from "@noisescale/protocol";
import { expect, onTestFinished, test, vi } from "vitest";
import { wireMeasurement } from "./measurement-source.ts";
import { startTestCollector, type TestCollector } from "./test-collector.ts";

const minute = 60_000;

async function withClock(): Promise<TestCollector & { readonly states: () => Promise<Record<string, string>> }> {
  vi.useFakeTimers({ toFake: ["Date"] });
  onTestFinished(() => {
    vi.useRealTimers();
  });
  const collector = await startTestCollector();
  const states = async () => {
    const { runs } = (await collector.request("GET", "/v1/runs")).json<{ runs: RunSummary[] }>();
    return Object.fromEntries(runs.map(({ run, state }) => [run, state]));
  };
  return { ...collector, states };
}

const after = (ms: number): void => {
  vi.setSystemTime(Date.now() + ms);
};

async function measure(
  { request }: TestCollector,
  run: string,
  from: number,
  to: number,
  everyMs: (step: number) => number = () => 1000,
): Promise<void> {
  let timeMs = 1_790_000_000_000 + from * 1000;
  const measurements = Array.from({ length: to - from }, (_, i) => {
    timeMs += everyMs(from + i);
    return { ...wireMeasurement(from + i), time_ms: timeMs };
  });
  expect((await request("POST", `/v1/runs/${run}/measurements`, { measurements })).status).toBe(200);
}

test("a run whose hook never said its end is silent after five minutes without a measurement, and live with the next one", async () => {
  const collector = await withClock();
  const { request, states } = collector;
  for (const run of ["gone", "ended", "declared"]) await request("PUT", `/v1/runs/${run}`, { project: "p" });
  await measure(collector, "gone", 0, 50);
  await measure(collector, "ended", 0, 50);
  await request("POST", "/v1/runs/ended/events", { events: [{ step: 50, time_ms: 1, kind: "finished", code: "end" }] });
  after(4 * minute);
  expect(await states()).toEqual({ gone: "live", ended: "finished", declared: "live" });
  after(2 * minute);
  expect(await states()).toEqual({ gone: "silent", ended: "finished", declared: "silent" });
  expect((await request("GET", "/v1/runs/gone")).json<RunDetail>().state).toBe("silent");
  const answer = await fetch(`${collector.collector.url}/v1/runs/gone/events`);
  const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
  let sent = "";
  while (!sent.includes("event: state")) sent += (await reader?.read())?.value ?? "";
  await reader?.cancel();
  expect(sent).toContain('event: state\ndata: {"state":"silent"}');
  await measure(collector, "gone", 50, 51);
  expect(await states()).toEqual({ gone: "live", ended: "finished", declared: "silent" });
});

test("a run that pauses for long, as for its evaluations, is live until three times its longest pause has gone by", async () => {
  const collector = await withClock();
  await collector.request("PUT", "/v1/runs/slow", { project: "p" });
  await measure(collector, "slow", 0, 60, (step) => (step % 20 === 19 ? 10 * minute : 1000));
  after(29 * minute);
  expect(await collector.states()).toEqual({ slow: "live" });
  after(2 * minute);
  expect(await collector.states()).toEqual({ slow: "silent" });
});

test("measurements that were sent before keep a run no longer live", async () => {
  const collector = await withClock();
  await collector.request("PUT", "/v1/runs/again", { project: "p" });
  await measure(collector, "again", 0, 20);
  after(6 * minute);
  await measure(collector, "again", 0, 20);
  expect(await collector.states()).toEqual({ again: "silent" });
});
