import type { IngestResult, RunDetail } from "@noisescale/protocol";
import { TrackerError } from "@noisescale/tracker";
import { expect, test } from "vitest";
import { wireMeasurement } from "./measurement-source.ts";
import { startTestCollector } from "./test-collector.ts";

const declaration = { project: "p", trackers: [{ name: "memory", run: { id: "x" } }] };

test("events whose counts sum to more than a number holds leave the run readable", async () => {
  const { request } = await startTestCollector();
  await request("PUT", "/v1/runs/a", declaration);
  const event = (step: number, count: number) => ({ step, time_ms: 1, kind: "warning", code: "c", count });
  const tooMany = await request("POST", "/v1/runs/a/events", { events: [event(1, 2 ** 53 - 1)] });
  expect(tooMany.json<{ rejected: { path: string }[] }>().rejected).toMatchObject([{ path: "count" }]);
  const events = Array.from({ length: 1000 }, (_, step) => event(step, 1e9));
  expect((await request("POST", "/v1/runs/a/events", { events })).status).toBe(200);
  expect((await request("GET", "/v1/runs/a")).json<RunDetail>().events).toMatchObject([{ count: 1e12 }]);
});

test("a time with a fraction, as Python's clock gives it, is rounded and reaches the tracker", async () => {
  const collector = await startTestCollector();
  await collector.request("PUT", "/v1/runs/a", declaration);
  const measurements = [{ ...wireMeasurement(0), time_ms: 1_790_000_000_000.5 }];
  await collector.request("POST", "/v1/runs/a/measurements", { measurements });
  await collector.tracker.until(({ runs }) => (runs.get("x")?.points.length ?? 0) > 0);
  expect(collector.tracker.runs.get("x")?.points[0]?.timeMs).toBe(1_790_000_000_001);
});

test("a time beyond the calendar is refused at its field", async () => {
  const { request } = await startTestCollector();
  await request("PUT", "/v1/runs/a", declaration);
  const measurements = [{ ...wireMeasurement(0), time_ms: 1e300 }];
  const answer = await request("POST", "/v1/runs/a/measurements", { measurements });
  expect(answer.json<IngestResult>().rejected).toMatchObject([{ index: 0, path: "time_ms" }]);
});

test("a learning rate whose square is not finite is refused at its field, and the run goes on", async () => {
  const { request } = await startTestCollector();
  await request("PUT", "/v1/runs/a", declaration);
  const measurements = [{ ...wireMeasurement(0), learning_rate: 1e200 }, wireMeasurement(1)];
  const answer = (await request("POST", "/v1/runs/a/measurements", { measurements })).json<IngestResult>();
  expect(answer).toMatchObject({ accepted: 1, rejected: [{ index: 0, path: "learning_rate" }] });
});

test("a body that is almost JSON is refused in time that grows with its length, not with the square of it", async () => {
  const { request, send } = await startTestCollector();
  await request("PUT", "/v1/runs/a", declaration);
  const body = `x${'"\\'.repeat(200_000)}NaN`;
  const before = performance.now();
  const answer = await send("/v1/runs/a/measurements", body, "application/json");
  expect(answer.status).toBe(400);
  // With the square it took 13 s for a quarter of this text.
  expect(performance.now() - before).toBeLessThan(5000);
});

test("more records than one request takes are answered 413, so that a sender cuts them up", async () => {
  const { request, send } = await startTestCollector();
  await request("PUT", "/v1/runs/a", declaration);
  const lines = "1\n".repeat(60_000);
  expect((await send("/v1/runs/a/measurements", lines, "application/x-ndjson")).status).toBe(413);
  const measurements = Array.from({ length: 50_001 }, () => 1);
  expect((await request("POST", "/v1/runs/a/measurements", { measurements })).status).toBe(413);
});

test("of many refused records the first thousand are named, and the number of the rest", async () => {
  const { request } = await startTestCollector();
  await request("PUT", "/v1/runs/a", declaration);
  const answer = await request("POST", "/v1/runs/a/measurements", {
    measurements: Array.from({ length: 3000 }, () => 1),
  });
  const { rejected } = answer.json<IngestResult>();
  expect(rejected).toHaveLength(1001);
  expect(rejected.at(-1)).toEqual({
    index: 1000,
    path: "",
    message: "this record and 1999 further ones were refused too",
  });
});

test.each([
  ["latency_ratio", 1e308],
  ["dataset_units", 5e-324],
  ["batch_max", Number.MAX_VALUE],
])("a declaration whose %s is %d is refused at its field", async (field, value) => {
  const { request } = await startTestCollector();
  const answer = await request("PUT", "/v1/runs/a", { project: "p", [field]: value });
  expect(answer.status).toBe(400);
  expect(answer.text).toContain(field);
});

test("squares that grow by three hundred orders of magnitude within a run leave it readable", async () => {
  const { request } = await startTestCollector();
  await request("PUT", "/v1/runs/a", declaration);
  const scaled = (step: number, scale: number) => {
    const { small, big, ...rest } = wireMeasurement(step);
    const at = <Square extends { squared_norm: number }>(square: Square) => ({
      ...square,
      squared_norm: square.squared_norm * scale,
    });
    return { ...rest, small: at(small), big: at(big) };
  };
  for (const [first, scale] of [
    [0, 1e-160],
    [500, 1],
  ] as const) {
    const measurements = Array.from({ length: 300 }, (_, index) => scaled(first + index, scale));
    expect((await request("POST", "/v1/runs/a/measurements", { measurements })).status).toBe(200);
  }
  expect((await request("GET", "/v1/runs/a/snapshot")).status).toBe(200);
});

test("a run that says again and again that it has finished has its trackers told once", async () => {
  const { request, tracker } = await startTestCollector();
  await request("PUT", "/v1/runs/a", declaration);
  await request("POST", "/v1/runs/a/measurements", { measurements: [wireMeasurement(0)] });
  tracker.failure = new TrackerError("memory: away", { retryable: true });
  const events = [{ step: 1, time_ms: 1, kind: "finished", code: "run-ended" }];
  for (let again = 0; again < 20; again += 1) await request("POST", "/v1/runs/a/events", { events });
  expect((await request("GET", "/v1/runs/a")).json<RunDetail>().trackers[0]?.backlog).toBeLessThanOrEqual(2);
});

test("layers of records that were not kept count nothing towards the limit of layers", async () => {
  const { request } = await startTestCollector({ config: { limits: { layers: 4 } } });
  await request("PUT", "/v1/runs/a", { project: "p" });
  const layered = (step: number, names: readonly string[]) => ({
    ...wireMeasurement(step),
    layers: Object.fromEntries(names.map((name) => [name, [2, 1]])),
  });
  const send = async (record: object) =>
    (await request("POST", "/v1/runs/a/measurements", { measurements: [record] })).json<IngestResult>();
  expect((await send(layered(0, ["one", "two"]))).accepted).toBe(1);
  expect((await send(layered(0, ["three", "four"]))).rejected).toMatchObject([{ path: "step" }]);
  expect((await send(layered(1, ["five", "six"]))).accepted).toBe(1);
});

test("an evaluation's name that is no whole text is refused at its field, and the rest of the request is taken", async () => {
  const { request } = await startTestCollector();
  await request("PUT", "/v1/runs/a", declaration);
  // The store keeps every half of a surrogate pair as the same mark: two such names were one, and the request failed for good.
  const measurements = [
    { ...wireMeasurement(0), evaluations: { "\ud800": 1, "\ud801": 2 } },
    { ...wireMeasurement(1), evaluations: { "\ud83d\ude00": 1, "a\0b": 2, "a\0c": 3, __proto__x: 4 } },
  ];
  const answer = await request("POST", "/v1/runs/a/measurements", { measurements });
  expect(answer.json<IngestResult>()).toMatchObject({
    accepted: 1,
    rejected: [{ index: 0, path: "evaluations", message: expect.stringContaining("whole Unicode characters") }],
  });
});

test("a request that names thousands of attempts is folded in time that grows with them, not with their square", async () => {
  const { request } = await startTestCollector();
  await request("PUT", "/v1/runs/a", { project: "p" });
  const measurements = Array.from({ length: 20_000 }, (_, step) => wireMeasurement(step, 20_000 - step));
  const before = performance.now();
  const answer = await request("POST", "/v1/runs/a/measurements", { measurements });
  expect(answer.json()).toMatchObject({ accepted: 20_000, snapshot: { attempt: 20_000, step: 0, measurements: 1 } });
  // With the square it took 8 s, in which nothing else was answered.
  expect(performance.now() - before).toBeLessThan(4000);
});
