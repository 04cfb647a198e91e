import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { retryAfterSeconds, TrackerServer } from "../src/tracker-server.ts";

test("Retry-After is read as seconds or as a date, and anything else as no wish", () => {
  expect(retryAfterSeconds("120")).toBe(120);
  expect(retryAfterSeconds("Wed, 21 Oct 2026 07:28:10 GMT", Date.UTC(2026, 9, 21, 7, 28))).toBe(10);
  expect(retryAfterSeconds("Wed, 21 Oct 2026 07:28:00 GMT", Date.UTC(2026, 9, 21, 8))).toBe(0);
  expect(retryAfterSeconds("soon")).toBeUndefined();
  expect(retryAfterSeconds(null)).toBeUndefined();
});

test.each([
  ["a header of the tracker's own", { "x-write-token": "s3cret", "user-agent": "noisescale" }],
  ["a scheme", { authorization: "Bearer s3cret" }],
])("credentials in %s are in no message, though a proxy echoes the request", async (_, headers) => {
  const proxy = createServer((request, answer) => {
    answer.writeHead(403).end(`noisescale may not: ${JSON.stringify(request.headers)}`);
  }).listen(0, "127.0.0.1");
  onTestFinished(() => {
    proxy.close();
  });
  await once(proxy, "listening");
  const server = new TrackerServer({
    kind: "some",
    product: "Some",
    address: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
    addressField: "address",
    headers,
    advice: () => undefined,
  });
  const refused = server.request("take metrics", "log", { withinSeconds: 10 });
  await expect(refused).rejects.toThrow("noisescale may not");
  await expect(refused).rejects.not.toThrow("s3cret");
});

test("a request to a server that never answers is cut by its call's signal, and the server's other requests go on", async () => {
  const reached = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  const silent = createServer((request, answer) => {
    if (request.url === "/later") void release.promise.then(() => answer.end("here"));
    else reached.resolve();
  }).listen(0, "127.0.0.1");
  onTestFinished(() => {
    silent.closeAllConnections();
    silent.close();
  });
  await once(silent, "listening");
  const server = new TrackerServer({
    kind: "some",
    product: "Some",
    address: `http://127.0.0.1:${(silent.address() as AddressInfo).port}`,
    addressField: "address",
    advice: () => undefined,
  });
  const stop = new AbortController();
  const cut = server.cutBy(stop.signal).request("take metrics", "never", { withinSeconds: 60 });
  const other = server.request("take metrics", "later", { withinSeconds: 60 });
  await reached.promise;
  stop.abort(new Error("the call was cut"));
  await expect(cut).rejects.toMatchObject({ retryable: true, message: expect.stringContaining("the call was cut") });
  release.resolve();
  expect(await (await other).text()).toBe("here");

  const closed = server.cutBy(new AbortController().signal).request("take metrics", "never", { withinSeconds: 60 });
  server.close();
  await expect(closed).rejects.toThrow("the tracker was closed");
});
