import { request as httpRequest } from "node:http";
import { expect, test } from "vitest";
import { wireMeasurement } from "./measurement-source.ts";
import { startTestCollector } from "./test-collector.ts";

/** Status of a request with headers that fetch does not let a caller set. */
function status(url: string, method: string, headers: Record<string, string>, body = ""): Promise<number> {
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest(url, { method, headers }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    outgoing.on("error", reject);
    outgoing.end(body);
  });
}

test.each([
  ["evil.example", 403],
  ["evil.example:7677", 403],
  ["localhost.evil.example", 403],
  ["127.0.0.1.evil.example", 403],
  ["user@localhost", 403],
  ["localhost", 200],
  ["LOCALHOST:1234", 200],
  ["[::1]:7677", 200],
  ["collector.internal", 200],
])("a request for the host %j is answered with %i", async (host, expected) => {
  const { collector } = await startTestCollector({ config: { allowed_hosts: ["collector.internal"] } });
  expect(await status(`${collector.url}/v1/runs`, "GET", { host })).toBe(expected);
});

test.each([
  ["http://evil.example", 403],
  ["http://127.0.0.1:1", 403],
  ["null", 403],
  ["https://noise.example.com", 200],
])("a request from a page of %s is answered with %i", async (origin, expected) => {
  const { request, collector } = await startTestCollector({ config: { public_url: "https://noise.example.com/" } });
  expect((await request("GET", "/v1/runs", undefined, { origin })).status).toBe(expected);
  expect((await request("GET", "/v1/runs", undefined, { origin: collector.url })).status).toBe(200);
});

test.each([
  ["cross-site", "no-cors", 403],
  ["same-site", "cors", 403],
  ["cross-site", "navigate", 200],
  ["same-origin", "cors", 200],
  ["none", "navigate", 200],
])("what a browser marks as %s, %s is answered with %i", async (site, mode, expected) => {
  const { collector } = await startTestCollector();
  const headers = { "sec-fetch-site": site, "sec-fetch-mode": mode };
  expect(await status(`${collector.url}/v1/runs`, "GET", headers)).toBe(expected);
});

test.each(["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""])(
  "a write of content type %j, which any page may send, is refused",
  async (contentType) => {
    const { collector } = await startTestCollector();
    const headers: Record<string, string> = contentType === "" ? {} : { "content-type": contentType };
    const body = JSON.stringify({ project: "p" });
    expect(await status(`${collector.url}/v1/runs/a`, "PUT", headers, body)).toBe(415);
    expect(await status(`${collector.url}/v1/runs/a/measurements`, "POST", headers, body)).toBe(415);
    expect(await status(`${collector.url}/v1/runs/a/events`, "POST", headers, body)).toBe(415);
  },
);

test("no answer allows another site to read it, and a foreign name is no address", async () => {
  const { request } = await startTestCollector();
  const { headers } = await request("GET", "/v1/runs");
  expect(headers.get("access-control-allow-origin")).toBeNull();
  expect(headers.get("x-content-type-options")).toBe("nosniff");
  expect(headers.get("referrer-policy")).toBe("no-referrer");
  expect(headers.get("x-powered-by")).toBeNull();
  const preflight = await request("OPTIONS", "/v1/runs/a", undefined, { "access-control-request-method": "PUT" });
  expect(preflight.headers.get("access-control-allow-origin")).toBeNull();
});

test.each(["<img src=x onerror=alert(1)>", "__proto__", "../../x", "=1+1", "\u2028"])(
  "the name %j is text wherever it stands, and becomes no path and no field",
  async (name) => {
    const { request } = await startTestCollector();
    expect((await request("PUT", `/v1/runs/${encodeURIComponent(name)}`, { project: "p" })).status).toBe(
      name === "__proto__" ? 201 : 400,
    );
    await request("PUT", "/v1/runs/a", { project: "p", name, tags: { [name]: name }, trackers: [{ name: "memory" }] });
    const measurements = Array.from({ length: 30 }, (_, step) => ({
      ...wireMeasurement(step),
      layers: { [name]: [0.3, 0.1] },
      evaluations: { [name]: 1 },
    }));
    await request("POST", "/v1/runs/a/measurements", { measurements });
    const detail = (await request("GET", "/v1/runs/a")).json<{ name: string; tags: object }>();
    expect(detail.name).toBe(name);
    const html = await request("GET", "/v1/runs/a/panels/noise-scale.html");
    expect(html.headers.get("content-security-policy")).toMatch(/^sandbox allow-scripts;/);
    expect(html.text).not.toContain("<img src=x onerror");
    expect((await request("GET", "/v1/runs/a/series.csv")).text).not.toContain(name);
    const snapshot = (await request("GET", "/v1/runs/a/snapshot")).json<{ layers: object }>();
    expect(Object.keys(snapshot.layers)).toEqual([name]);
  },
);
