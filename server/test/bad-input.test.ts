import type { IngestResult, Problem } from "@noisescale/protocol";
import { expect, test } from "vitest";
import { wireMeasurement } from "./measurement-source.ts";
import { startTestCollector } from "./test-collector.ts";

const good = wireMeasurement(1);

test.each([
  ["a squared norm below 0", { ...good, big: { ...good.big, squared_norm: -1 } }, "big.squared_norm"],
  ["b equal to B", { ...good, small: { ...good.small, batch_size: 256 } }, "small.batch_size"],
  ["b above B", { ...good, small: { ...good.small, batch_size: 512 } }, "small.batch_size"],
  ["an unknown field", { ...good, gradients: [1] }, "gradients"],
  ["a wrong type", { ...good, loss: "2.3" }, "loss"],
  ["a step that is not whole", { ...good, step: 1.5 }, "step"],
  ["a value that JSON reads as infinite", { ...good, loss: "LARGE" }, "loss"],
  [
    "a squared norm whose square is not finite",
    { ...good, big: { ...good.big, squared_norm: 1e200 } },
    "small.squared_norm",
  ],
  ["a record that is no object", 7, ""],
  ["nothing", null, ""],
])("%s is rejected with its place and field, and the good records beside it are kept", async (_what, bad, path) => {
  const { request, send, snapshot } = await startTestCollector();
  await request("PUT", "/v1/runs/a", { project: "p" });
  const body = JSON.stringify({ measurements: [wireMeasurement(0), bad, wireMeasurement(2)] }).replace(
    '"LARGE"',
    "1e999",
  );
  const answer = await send("/v1/runs/a/measurements", body, "application/json");
  expect(answer.status).toBe(200);
  expect(answer.json<IngestResult>()).toMatchObject({ accepted: 2, rejected: [{ index: 1, path }] });
  expect(answer.json<IngestResult>().rejected[0]?.message).not.toBe("");
  expect(await snapshot("a")).toMatchObject({ measurements: 2, step: 2 });
});

test.each(["NaN", "Infinity", "-Infinity"])(
  "a bare %s, as Python writes it, costs only its own record",
  async (token) => {
    const { request, send } = await startTestCollector();
    await request("PUT", "/v1/runs/a", { project: "p" });
    const records = [wireMeasurement(0), { ...wireMeasurement(1), loss: "HERE" }, wireMeasurement(2)];
    const body = JSON.stringify({ measurements: records }).replace('"HERE"', token);
    const answer = await send("/v1/runs/a/measurements", body, "application/json");
    expect(answer.json<IngestResult>()).toMatchObject({ accepted: 2, rejected: [{ index: 1, path: "loss" }] });
    expect(answer.json<IngestResult>().rejected[0]?.message).toContain(token);
  },
);

test("a broken NDJSON line is rejected by its index, and the lines beside it are kept", async () => {
  const { request, send } = await startTestCollector();
  await request("PUT", "/v1/runs/a", { project: "p" });
  const lines = [JSON.stringify(wireMeasurement(0)), '{"step": 1, "time_', JSON.stringify(wireMeasurement(2)), ""];
  const answer = await send("/v1/runs/a/measurements", lines.join("\n"), "application/x-ndjson");
  expect(answer.status).toBe(200);
  expect(answer.json<IngestResult>()).toMatchObject({ accepted: 2, rejected: [{ index: 1, path: "" }] });
  expect(answer.json<IngestResult>().rejected[0]?.message).toMatch(/not JSON/);
});

test("NDJSON may declare its run in the first line; records are counted from there", async () => {
  const { send, request } = await startTestCollector();
  const lines = [{ run: { project: "p", name: "from a file" } }, wireMeasurement(0), { step: -1 }];
  const body = lines.map((line) => JSON.stringify(line)).join("\n");
  const answer = await send("/v1/runs/new/measurements", body, "application/x-ndjson");
  expect(answer.json<IngestResult>()).toMatchObject({ accepted: 1, rejected: [{ index: 2 }] });
  expect((await request("GET", "/v1/runs/new")).json()).toMatchObject({ name: "from a file", measurements: 1 });
});

test("measurements of an unknown run are answered by a problem that says how to declare it", async () => {
  const { request } = await startTestCollector();
  const answer = await request("POST", "/v1/runs/nobody/measurements", { measurements: [good] });
  expect(answer.status).toBe(404);
  expect(answer.headers.get("content-type")).toMatch(/^application\/problem\+json/);
  expect(answer.json<Problem>().detail).toMatch(/nobody.*PUT \/v1\/runs\/\{run\}/);
});

test.each([
  ["a body that is not JSON", "{", 400],
  ["a body without measurements", "{}", 400],
  ["an unknown field beside the measurements", '{"measurements": [], "more": 1}', 400],
  ["an empty body", "", 400],
])("%s is answered by a problem with its reason", async (_what, body, status) => {
  const { request, send } = await startTestCollector();
  await request("PUT", "/v1/runs/a", { project: "p" });
  const answer = await send("/v1/runs/a/measurements", body, "application/json");
  expect(answer.status).toBe(status);
  expect(answer.json<Problem>().errors?.[0]?.message).toBeTruthy();
});

test("a body beyond the limit is answered with 413 that names the setting", async () => {
  const { request, send } = await startTestCollector({ config: { limits: { body_bytes: 1000 } } });
  await request("PUT", "/v1/runs/a", { project: "p" });
  const answer = await send("/v1/runs/a/measurements", " ".repeat(1001), "application/json");
  expect(answer.status).toBe(413);
  expect(answer.json<Problem>().detail).toMatch(/1000 bytes.*limits\.body_bytes/);
});

test("an empty body, a name that is no UTF-8 and an encoding nobody reads are answered with what to send", async () => {
  const { collector, request, send } = await startTestCollector();
  await request("PUT", "/v1/runs/a", { project: "p" });
  const empty = await send("/v1/runs/a/measurements", "", "application/json");
  expect(empty.json<Problem>().detail).toBe("The body is not JSON: it is empty");
  const misspelt = await request("PUT", "/v1/runs/%E0%A4%A", { project: "p" });
  expect(misspelt.json<Problem>()).toMatchObject({
    status: 400,
    detail: expect.stringMatching(/percent.*encode names/),
  });
  const headers = { "content-type": "application/json", "content-encoding": "zstdx" };
  const packed = await fetch(`${collector.url}/v1/runs/a/measurements`, { method: "POST", headers, body: "{}" });
  expect(await packed.json()).toMatchObject({
    status: 415,
    detail: expect.stringMatching(/plain, gzip, deflate or br/),
  });
});

test.each([
  ["no project", {}, "project"],
  ["a project that is a path", { project: "../../x" }, "project"],
  ["an unknown field", { project: "p", url: "http://example.com" }, "url"],
  ["a tracker that is not configured", { project: "p", trackers: [{ name: "elsewhere" }] }, "trackers.0.name"],
  ["a tracker twice", { project: "p", trackers: [{ name: "memory" }, { name: "memory" }] }, "trackers.1.name"],
  ["limits that cross", { project: "p", batch_min: 9, batch_max: 8 }, "batch_min"],
])("a declaration with %s is refused by its field", async (_what, body, path) => {
  const { request } = await startTestCollector();
  const answer = await request("PUT", "/v1/runs/a", body);
  expect(answer.status).toBe(400);
  expect(answer.json<Problem>().errors).toMatchObject([{ path }]);
  expect((await request("GET", "/v1/runs/a")).status).toBe(404);
});

test("a tracker is refused to a project that may not use it", async () => {
  const { tracker } = await startTestCollector();
  const trackers = new Map([["memory", { tracker, projects: new Set(["theirs"]) }]]);
  const { request } = await startTestCollector({ trackers });
  const body = (project: string) => ({ project, trackers: [{ name: "memory" }] });
  expect((await request("PUT", "/v1/runs/a", body("mine"))).text).toMatch(/may not use the tracker/);
  expect((await request("PUT", "/v1/runs/a", body("theirs"))).status).toBe(201);
});

test("runs and layer names beyond their limits are refused by the setting's name", async () => {
  const { request } = await startTestCollector({ config: { limits: { runs: 1, layers: 2 } } });
  await request("PUT", "/v1/runs/a", { project: "p" });
  expect((await request("PUT", "/v1/runs/a", { project: "p" })).status).toBe(200);
  expect((await request("PUT", "/v1/runs/b", { project: "p" })).text).toMatch(/limits\.runs/);
  const withLayers = (step: number, ...names: string[]) => ({
    ...wireMeasurement(step),
    layers: Object.fromEntries(names.map((name) => [name, [0.2, 0.1]])),
  });
  const measurements = [withLayers(0, "one", "two"), withLayers(1, "two", "three"), withLayers(2, "one")];
  const answer = await request("POST", "/v1/runs/a/measurements", { measurements });
  expect(answer.json<IngestResult>()).toMatchObject({ accepted: 2, rejected: [{ index: 1, path: "layers" }] });
});

test.each([
  ["points=0", "points"],
  ["points=many", "points"],
  ["from=-1", "from"],
  ["metrics=b_simple,password", "metrics"],
])("a series with %s is refused by its field", async (query, path) => {
  const { request } = await startTestCollector();
  await request("PUT", "/v1/runs/a", { project: "p" });
  const answer = await request("GET", `/v1/runs/a/series?${query}`);
  expect(answer.status).toBe(400);
  expect(answer.json<Problem>().errors).toMatchObject([{ path }]);
});
