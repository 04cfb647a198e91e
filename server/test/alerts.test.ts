import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { Alert, AlertList, MeasurementInput, RunDetail } from "@noisescale/protocol";
import { alertListSchema } from "@noisescale/protocol";
import { expect, test, vi } from "vitest";
import { sentAlertLimit } from "../src/alerts/raise-alert.ts";
import { wireMeasurement } from "./measurement-source.ts";
import { temporaryDirectory } from "./temporary-directory.ts";
import { startTestCollector, type TestCollector } from "./test-collector.ts";

vi.setConfig({ testTimeout: 20_000 });

const declaration = { project: "p", name: "<img src=x onerror=alert(1)>", trackers: [{ name: "memory" }] };
const told = { config: { alerts: { uncalibrated: true }, public_url: "https://noise.example/base/" } };

/** B_simple stays near 256 while the batch is so many times 256. */
function scaled(step: number, times: number, attempt = 0): MeasurementInput {
  const one = wireMeasurement(step, attempt);
  const batchSize = 256 * times;
  const noise = one.small.squared_norm / (1 / 32 + 1 / 256);
  const both = one.big.squared_norm / (2 / 256);
  return {
    ...one,
    small: { ...one.small, batch_size: batchSize / 8, squared_norm: noise * (8 / batchSize + 1 / 256) },
    big: { batch_size: batchSize, squared_norm: both * (1 / batchSize + 1 / 256) },
  };
}
const many = (from: number, to: number, times: number, attempt = 0): MeasurementInput[] =>
  Array.from({ length: to - from }, (_, i) => scaled(from + i, times, attempt));

async function post({ request }: TestCollector, measurements: readonly MeasurementInput[]): Promise<void> {
  const answer = await request("POST", "/v1/runs/a/measurements", { measurements });
  expect(answer.json<{ rejected: unknown[] }>().rejected).toEqual([]);
}

async function alertsOf({ request }: TestCollector, query = ""): Promise<readonly Alert[]> {
  const answer = (await request("GET", `/v1/alerts${query}`)).json<AlertList>();
  return alertListSchema.parse(answer).alerts;
}
const rulesOf = async (collector: TestCollector): Promise<string[]> =>
  (await alertsOf(collector)).map(({ rule }) => rule);
/** What the run's own tracker was told. */
const mirrored = ({ tracker }: TestCollector) => tracker.runs.get("a")?.alerts ?? [];

async function start(options: Parameters<typeof startTestCollector>[0] = told): Promise<TestCollector> {
  const collector = await startTestCollector(options);
  expect((await collector.request("PUT", "/v1/runs/a", declaration)).status).toBeLessThan(300);
  return collector;
}

test("a batch 4 times too large becomes one alert: in the history, on the run, and at its tracker", async () => {
  const collector = await start();
  await post(collector, many(0, 500, 4));
  const alerts = await alertsOf(collector);
  expect(alerts).toMatchObject([
    {
      run: "a",
      project: "p",
      name: declaration.name,
      rule: "batch-too-large",
      severity: "warning",
      sent: true,
      attempt: 0,
      ended_step: null,
    },
  ]);
  const [alert] = alerts;
  expect(alert?.title).toMatch(/^The batch of 1,024 is too large: 2\d\d is recommended$/);
  expect(alert?.text).toMatch(
    /^The batch of 1,024 is 3\.\d+ times larger than the most that B_simple recommends \(2\d\d examples, 95 % between \d+ and \d+\)\. A batch of 2\d\d would take 1\.\d+ times the steps for 0\.4\d* times the examples\./,
  );
  await collector.tracker.until(() => mirrored(collector).length > 0);
  expect(mirrored(collector)).toEqual([
    {
      id: alert?.id,
      rule: "batch-too-large",
      severity: "warning",
      title: alert?.title,
      text: alert?.text,
      link: "https://noise.example/base/runs/a",
      step: alert?.step,
      timeMs: alert?.time_ms,
    },
  ]);
  const detail = (await collector.request("GET", "/v1/runs/a")).json<RunDetail>();
  expect(detail.alert).toEqual({ rule: "batch-too-large", severity: "warning", title: alert?.title });
  expect(detail.alerts).toEqual(alerts);

  await post(collector, many(500, 1200, 1));
  const after = await alertsOf(collector);
  expect(after).toMatchObject([
    { id: alert?.id, rule: "batch-too-large" },
    { rule: "batch-size-changed", sent: false },
  ]);
  expect(after[0]?.ended_step).toBeGreaterThan(500);
  expect((await collector.request("GET", "/v1/runs/a")).json<RunDetail>().alert).toBeNull();
  expect(mirrored(collector)).toHaveLength(1);
});

test("an uncalibrated recommendation makes information on the page, and no message, unless the project asks for it", async () => {
  const quiet = await start({ config: {} });
  await post(quiet, many(0, 500, 4));
  expect(await alertsOf(quiet)).toMatchObject([{ rule: "batch-too-large", severity: "info", sent: false }]);
  const projects = { p: { send_from: "info" as const }, q: { off: ["batch-too-large" as const] } };
  const asked = await start({
    config: { alerts: { off: ["batch-too-large"], projects: { p: { ...projects.p, off: [] } } } },
  });
  await post(asked, many(0, 500, 4));
  await asked.tracker.until(() => mirrored(asked).length > 0);
  expect(await alertsOf(asked)).toMatchObject([{ rule: "batch-too-large", severity: "info", sent: true }]);
  const lenient = await start({ config: { alerts: { uncalibrated: true, projects: { p: { batch_factor: 6 } } } } });
  await post(lenient, many(0, 500, 4));
  expect(await alertsOf(lenient)).toEqual([]);
  const off = await start({
    config: { alerts: { uncalibrated: true, projects: { p: { off: ["batch-too-large"] } } } },
  });
  await post(off, many(0, 500, 4));
  expect(await alertsOf(off)).toEqual([]);
});

test("a project that is calibrated gets a warning, and one for what was information before", async () => {
  const collector = await start({ config: {} });
  await post(collector, many(0, 500, 4));
  expect(await alertsOf(collector)).toMatchObject([{ severity: "info", sent: false, ended_step: null }]);
  const database = new DatabaseSync(join(collector.dataDirectory, "noisescale.sqlite"));
  database.exec("INSERT INTO calibrations VALUES ('p', 0.5, 0.4, 0.6, '{}')");
  database.close();
  await post(collector, many(500, 520, 4));
  const alerts = await alertsOf(collector);
  expect(alerts).toMatchObject([
    { severity: "info", sent: false, ended_step: 500 },
    { rule: "batch-too-large", severity: "warning", sent: true, step: 500, ended_step: null },
  ]);
  expect(alerts[1]?.title).toMatch(/^The batch of 1,024 is too large: 1\d\d is recommended$/);
  expect(alerts[1]?.text).toContain("B_simple with the project's calibration recommends");
  expect(alerts[1]?.text).not.toContain("indicator");
});

test("neither a resend, nor a late step, nor another declaration, nor a restart tells an alert twice", async () => {
  const dataDirectory = temporaryDirectory();
  const first = await start({ ...told, dataDirectory });
  const records = many(0, 600, 4).filter(({ step }) => step % 97 !== 50);
  await post(first, records);
  await post(first, records);
  const [alert] = await alertsOf(first);
  // Late ones before and after the alert; the fold goes over it again.
  for (const step of [50, 147, 244, 535]) await post(first, [scaled(step, 4)]);
  await first.request("PUT", "/v1/runs/a", { ...declaration, dataset_units: 1e9 });
  expect((await alertsOf(first)).map(({ id, ended_step }) => [id, ended_step])).toEqual([[alert?.id, null]]);
  await first.tracker.until(() => mirrored(first).length > 0);
  await first.collector.close();

  const second = await start({ ...told, dataDirectory });
  await post(second, many(600, 700, 4));
  expect(await alertsOf(second)).toMatchObject([{ id: alert?.id, ended_step: null }]);
  expect(mirrored(first)).toHaveLength(1);
  expect(mirrored(second)).toHaveLength(0);
});

test("what was told and is not found any more after a replay stays in the history, and lasts no longer", async () => {
  const collector = await start();
  await post(collector, many(0, 300, 4));
  const [alert] = await alertsOf(collector);
  expect(alert).toMatchObject({ rule: "batch-too-large", ended_step: null });
  // A later attempt takes over from before the alert on, with a batch that is right.
  await post(collector, many(20, 400, 1, 7));
  expect(await alertsOf(collector)).toMatchObject([
    { id: alert?.id, ended_step: alert?.step },
    { rule: "batch-size-changed", attempt: 7 },
  ]);
  // Had it been wrong again, it would have been told again: another attempt is another training.
  await post(collector, many(60, 500, 4, 8));
  expect((await alertsOf(collector)).filter(({ rule }) => rule === "batch-too-large")).toMatchObject([
    { attempt: 0 },
    { attempt: 8, sent: true, ended_step: null },
  ]);
});

test("a run that is folded again from nothing gets its history, and sends nothing that is long past", async () => {
  const collector = await start({ config: { alerts: { off: ["batch-too-large"], uncalibrated: true } } });
  await post(collector, many(0, 500, 4));
  expect(await alertsOf(collector)).toEqual([]);
  await collector.collector.close();
  const again = await start({ ...told, dataDirectory: collector.dataDirectory });
  await again.request("PUT", "/v1/runs/a", { ...declaration, batch_max: 100_000 });
  expect(await alertsOf(again)).toMatchObject([{ rule: "batch-too-large", sent: false, ended_step: null }]);
});

test("gradients that are not finite make one alert until none came for a thousand steps", async () => {
  const collector = await start();
  await post(collector, many(0, 30, 1));
  const dropped = (step: number) => ({ step, time_ms: 1000 + step, kind: "dropped", code: "not-finite" });
  const send = async (...steps: number[]) =>
    collector.request("POST", "/v1/runs/a/events", { attempt: 2, events: steps.map(dropped) });
  await send(10, 14, 12);
  await send(14, 700);
  expect(await alertsOf(collector)).toMatchObject([
    { rule: "not-finite", severity: "warning", step: 10, ended_step: 700, sent: true, attempt: 2 },
  ]);
  await send(1701);
  expect((await alertsOf(collector)).map(({ step, ended_step }) => [step, ended_step])).toEqual([
    [10, 700],
    [1701, 1701],
  ]);
  await collector.request("POST", "/v1/runs/a/events", {
    attempt: 2,
    events: [{ step: 5000, time_ms: 1, kind: "dropped", code: "batch-too-small" }],
  });
  expect(await rulesOf(collector)).toEqual(["not-finite", "not-finite"]);
});

test("a job that reports without end fills its own history, and no inbox", async () => {
  const collector = await start();
  const events = Array.from({ length: 60 }, (_, i) => ({
    step: 5000 * i,
    time_ms: 1,
    kind: "dropped",
    code: "not-finite",
  }));
  await collector.request("POST", "/v1/runs/a/events", { events });
  const alerts = await alertsOf(collector);
  expect(alerts).toHaveLength(60);
  expect(alerts.filter(({ sent }) => sent)).toHaveLength(sentAlertLimit);
  await collector.tracker.until(() => mirrored(collector).length > 0);
  expect(mirrored(collector)).toHaveLength(sentAlertLimit);
});

test("an alert that is not over is listed however many were raised after it, on its run too", async () => {
  const collector = await start();
  await post(collector, many(0, 500, 4));
  const [lasting] = await alertsOf(collector);
  expect(lasting).toMatchObject({ rule: "batch-too-large", ended_step: null });
  const events = Array.from({ length: 120 }, (_, i) => ({
    step: 10_000 * (i + 1),
    time_ms: 1_790_000_000_000 + i,
    kind: "dropped",
    code: "not-finite",
  }));
  await collector.request("POST", "/v1/runs/a/events", { events });
  const list = async (query: string) =>
    alertListSchema.parse((await collector.request("GET", `/v1/alerts${query}`)).json<AlertList>());
  const latest = await list("?run=a&project=p");
  expect(latest.alerts.map(({ rule }) => rule)).toEqual(Array.from({ length: 100 }, () => "not-finite"));
  expect(latest.lasting).toEqual([lasting]);
  expect((await list("?limit=1000")).lasting).toEqual([]);
  expect((await list("?after=5&limit=1")).lasting).toEqual([]);
  expect((await list("?project=q")).lasting).toEqual([]);
  const { alerts } = (await collector.request("GET", "/v1/runs/a")).json<RunDetail>();
  expect(alerts).toEqual([lasting, ...latest.alerts]);
});

test("alerts are listed by run, project and number, and a bad query names its field", async () => {
  const collector = await start();
  await post(collector, many(0, 500, 4));
  const [alert] = await alertsOf(collector);
  expect(await alertsOf(collector, "?run=a&project=p")).toHaveLength(1);
  expect(await alertsOf(collector, "?project=q")).toEqual([]);
  expect(await alertsOf(collector, `?after=${alert?.number}`)).toEqual([]);
  expect(await alertsOf(collector, "?after=0&limit=1")).toHaveLength(1);
  for (const [query, field] of [
    ["?run=../x", "run"],
    ["?project=", "project"],
    ["?after=-1", "after"],
    ["?limit=0", "limit"],
  ] as const) {
    const answer = await collector.request("GET", `/v1/alerts${query}`);
    expect(answer.status, query).toBe(400);
    expect(answer.json<{ errors: { path: string }[] }>().errors[0]?.path).toBe(field);
  }
  expect((await collector.request("GET", "/metrics")).text).toContain('noisescale_run_alerts{run="a",project="p"} 1');
});
