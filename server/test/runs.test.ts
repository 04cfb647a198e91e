import type { EventResult, IngestResult, RunDetail, RunSummary, Series, Snapshot } from "@noisescale/protocol";
import {
  ingestResultSchema,
  type openApiDocument,
  runDetailSchema,
  runListSchema,
  seriesSchema,
  snapshotSchema,
} from "@noisescale/protocol";
import { expect, test } from "vitest";
import { wireMeasurement } from "./measurement-source.ts";
import { startTestCollector, type TestCollector } from "./test-collector.ts";

const measurements = (from: number, to: number, attempt = 0) =>
  Array.from({ length: to - from }, (_, i) => wireMeasurement(from + i, attempt));

async function post({ request }: TestCollector, from: number, to: number, attempt = 0): Promise<IngestResult> {
  const body = { measurements: measurements(from, to, attempt) };
  return (await request("POST", "/v1/runs/a/measurements", body)).json<IngestResult>();
}

test("every answer of a run is of the shape that the protocol says, before and after its first measurement", async () => {
  const collector = await startTestCollector();
  const { request } = collector;
  expect((await request("PUT", "/v1/runs/a", { project: "p", tags: { host: "one" } })).status).toBe(201);
  for (const sent of [0, 100]) {
    const result = await post(collector, 0, sent);
    expect(ingestResultSchema.parse(result)).toEqual(result);
    const full = (
      await request("POST", "/v1/runs/a/measurements?snapshot=full", { measurements: [] })
    ).json<IngestResult>();
    expect(snapshotSchema.parse(full.snapshot)).toEqual(await collector.snapshot("a"));
    const detail = (await request("GET", "/v1/runs/a")).json<RunDetail>();
    expect(runDetailSchema.parse(detail)).toEqual(detail);
    expect(detail).toMatchObject({ measurements: sent, tags: { host: "one" }, state: "live" });
    const list = (await request("GET", "/v1/runs")).json<{ runs: RunSummary[] }>();
    expect(runListSchema.parse(list)).toEqual(list);
    const series = (await request("GET", "/v1/runs/a/series")).json<Series>();
    expect(seriesSchema.parse(series)).toEqual(series);
    expect(series.step).toHaveLength(sent);
  }
});

test("measurements sent twice count once, and are answered as duplicates", async () => {
  const collector = await startTestCollector();
  await collector.request("PUT", "/v1/runs/a", { project: "p" });
  const first = await post(collector, 0, 50);
  expect(first).toMatchObject({ accepted: 50, duplicates: 0 });
  expect(await post(collector, 0, 50)).toEqual({ ...first, accepted: 0, duplicates: 50 });
});

test("requests that arrive together are each answered for their own records", async () => {
  const collector = await startTestCollector();
  await collector.request("PUT", "/v1/runs/a", { project: "p" });
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, i) => {
      const own = measurements(i * 10, i * 10 + 10);
      const bad = { ...own[3], loss: -1, step: i * 10 + 4 };
      return collector.request("POST", "/v1/runs/a/measurements", { measurements: [...own, bad] });
    }),
  );
  for (const answer of answers) {
    expect(answer.json<IngestResult>()).toMatchObject({ accepted: 10, rejected: [{ index: 10, path: "step" }] });
  }
  expect(await collector.snapshot("a")).toMatchObject({ measurements: 200, step: 199 });
});

test("a run ends by the event of its latest attempt, and lives again with the next attempt", async () => {
  const collector = await startTestCollector();
  const { request } = collector;
  await request("PUT", "/v1/runs/a", { project: "p" });
  await post(collector, 0, 30, 5);
  const state = async () => (await request("GET", "/v1/runs/a")).json<RunDetail>().state;
  const end = (attempt: number, kind: string) =>
    request("POST", "/v1/runs/a/events", { attempt, events: [{ step: 30, time_ms: 1, kind, code: "end" }] });
  await end(4, "failed");
  expect(await state()).toBe("live");
  await end(5, "failed");
  expect(await state()).toBe("failed");
  await post(collector, 20, 40, 6);
  expect(await state()).toBe("live");
  await end(6, "finished");
  expect(await state()).toBe("finished");
});

test("events are counted, shown as sentences, and bad ones are rejected by their place", async () => {
  const { request, snapshot } = await startTestCollector();
  await request("PUT", "/v1/runs/a", { project: "p" });
  const dropped = { step: 4, time_ms: 1, kind: "dropped", code: "not-finite", count: 3 };
  const events = [dropped, { ...dropped, kind: "lost" }, { ...dropped, step: 9, count: 1 }];
  const answer = await request("POST", "/v1/runs/a/events", { events });
  expect(answer.json<EventResult>()).toMatchObject({ accepted: 2, rejected: [{ index: 1, path: "kind" }] });
  expect((await request("GET", "/v1/runs/a")).json<RunDetail>().events).toEqual([
    { kind: "dropped", code: "not-finite", count: 4, first_step: 4, last_step: 9 },
  ]);
  const [warning] = (await snapshot("a")).warnings;
  expect(warning).toMatchObject({ code: "not-finite", message: expect.stringMatching(/^4 steps had a gradient/) });
});

test("a spike of the gradients is left out of the headline, and said", async () => {
  const { request, snapshot } = await startTestCollector();
  await request("PUT", "/v1/runs/a", { project: "p" });
  const sent = measurements(0, 100).map((measurement, index) =>
    index === 60
      ? {
          ...measurement,
          small: { ...measurement.small, squared_norm: 1e6 * measurement.small.squared_norm },
          big: { ...measurement.big, squared_norm: 1e6 * measurement.big.squared_norm },
        }
      : measurement,
  );
  await request("POST", "/v1/runs/a/measurements", { measurements: sent.slice(0, 60) });
  const before = await snapshot("a");
  expect(before.warnings.map(({ code }) => code)).not.toContain("outliers");
  await request("POST", "/v1/runs/a/measurements", { measurements: sent.slice(60, 61) });
  const after = await snapshot("a");
  expect(after.b_simple_low).toBe(before.b_simple_low);
  expect(after.warnings.find(({ code }) => code === "outliers")?.message).toMatch(/^1 measurement lay .* was left out/);
});

test("a declaration that changes what estimates rest on folds the run again", async () => {
  const collector = await startTestCollector();
  const { request, snapshot } = collector;
  await request("PUT", "/v1/runs/a", { project: "p" });
  await post(collector, 0, 100);
  const plain = await snapshot("a");
  expect((await request("PUT", "/v1/runs/a", { project: "p", dataset_units: 1000 })).status).toBe(200);
  const corrected = await snapshot("a");
  expect(corrected.gradient_squared_norm).toBeGreaterThan(plain.gradient_squared_norm ?? Number.NaN);
  await request("PUT", "/v1/runs/b", { project: "p", dataset_units: 1000 });
  await request("POST", "/v1/runs/b/measurements", { measurements: measurements(0, 100) });
  expect({ ...(await snapshot("b")), run: "a" }).toEqual(corrected);
  await request("PUT", "/v1/runs/a", { project: "p" });
  expect(await snapshot("a")).toEqual(plain);
});

test("a deleted run is gone, and may be declared again from nothing", async () => {
  const collector = await startTestCollector();
  const { request } = collector;
  await request("PUT", "/v1/runs/a", { project: "p", trackers: [{ name: "memory" }] });
  await post(collector, 0, 40);
  expect((await request("DELETE", "/v1/runs/a")).status).toBe(204);
  for (const path of ["", "/snapshot", "/series", "/series.csv", "/events", "/panels/trade.json"]) {
    expect((await request("GET", `/v1/runs/a${path}`)).status).toBe(404);
  }
  expect((await request("DELETE", "/v1/runs/a")).status).toBe(404);
  await request("PUT", "/v1/runs/a", { project: "p" });
  expect(await post(collector, 0, 10)).toMatchObject({ accepted: 10, snapshot: { measurements: 10 } });
});

test("the series as CSV has a row a measurement, units in its header, and nothing where nothing is known", async () => {
  const collector = await startTestCollector();
  await collector.request("PUT", "/v1/runs/a", { project: "p", unit: "token" });
  await post(collector, 0, 300);
  const { text, headers } = await collector.request("GET", "/v1/runs/a/series.csv");
  expect(headers.get("content-type")).toMatch(/^text\/csv/);
  const [header, ...rows] = text.trimEnd().split("\r\n");
  expect(header).toMatch(/^step,time_ms,b_simple \[tokens\],.*covariance_trace \[gradient\^2\*token\]/);
  expect(rows).toHaveLength(300);
  expect(rows[0]).toMatch(/^0,1760000000000,,,/);
  expect(rows[299]?.split(",")[2]).toBe(String((await collector.snapshot("a")).b_simple));
});

test("each panel is there as data with its text, and as a picture", async () => {
  const collector = await startTestCollector();
  const { request } = collector;
  await request("PUT", "/v1/runs/a", { project: "p" });
  await post(collector, 0, 200);
  for (const panel of ["noise-scale", "signal-and-noise", "frontier", "trade"]) {
    const json = (await request("GET", `/v1/runs/a/panels/${panel}.json`)).json<{ text: string; snapshot: Snapshot }>();
    expect(json.text).not.toBe("");
    expect(json.snapshot.measurements).toBe(200);
    const picture = await request("GET", `/v1/runs/a/panels/${panel}.png`);
    expect(picture.headers.get("content-type")).toBe("image/png");
    expect(picture.text.slice(1, 4)).toBe("PNG");
  }
  expect((await request("GET", "/v1/runs/a/panels/weather.png")).status).toBe(404);
  expect((await request("GET", "/v1/runs/a/panels/trade.svg")).status).toBe(404);
});

test("every route of the OpenAPI document is there", async () => {
  const { request } = await startTestCollector();
  await request("PUT", "/v1/runs/a", { project: "p" });
  const document = (await request("GET", "/openapi.json")).json<ReturnType<typeof openApiDocument>>();
  const paths = document["paths"] as Record<string, Record<string, unknown>>;
  for (const [path, operations] of Object.entries(paths)) {
    if (!("get" in operations) || path.endsWith("/events")) continue;
    const address = path
      .replace("{run}", "a")
      .replace("{panel}", "trade.json")
      .replace(/\{(group|project)\}/, "none");
    const { status, text } = await request("GET", address);
    // What is asked of no run is answered by its own problem, not by that of an address without a route.
    if (address.includes("/none/"))
      expect([address, text]).not.toEqual([address, expect.stringContaining("nothing at")]);
    else expect([address, status]).toEqual([address, 200]);
  }
});

test("health, readiness and metrics are told", async () => {
  const collector = await startTestCollector();
  await collector.request("PUT", "/v1/runs/a", { project: "p" });
  await post(collector, 0, 100);
  await post(collector, 99, 100);
  expect((await collector.request("GET", "/healthz")).status).toBe(200);
  expect((await collector.request("GET", "/readyz")).status).toBe(200);
  const { text } = await collector.request("GET", "/metrics");
  expect(text).toContain('noisescale_measurements_total{result="accepted"} 100\n');
  expect(text).toContain('noisescale_measurements_total{result="duplicate"} 1\n');
  expect(text).toContain(`noisescale_run_b_simple{run="a",project="p"} ${(await collector.snapshot("a")).b_simple}\n`);
  for (const line of text.trimEnd().split("\n")) {
    expect(line).toMatch(
      /^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{[a-z_]+="[^"\n]*"(,[a-z_]+="[^"\n]*")*\})? -?[0-9.e+-]+)$/,
    );
  }
});

test("a snapshot says of which data set the gradient is, where the run states its size", async () => {
  const { request, snapshot } = await startTestCollector();
  await request("PUT", "/v1/runs/finite", { project: "p", dataset_units: 50_000 });
  await request("PUT", "/v1/runs/endless", { project: "p" });
  expect((await snapshot("finite")).dataset_units).toBe(50_000);
  expect((await snapshot("endless")).dataset_units).toBeNull();
});
