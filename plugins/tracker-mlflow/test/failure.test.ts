import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import { TrackerError } from "@noisescale/tracker";
import { mlflowTracker } from "@noisescale/tracker-mlflow";
import { afterEach, describe, expect, test } from "vitest";

const context = { run: "r", project: "p", name: "r", queue: "0123456789abcdef" };
let server: Server | undefined;
afterEach(async () => {
  server?.close();
  server?.closeAllConnections();
  server = undefined;
});

async function serve(answer: RequestListener): Promise<string> {
  server = createServer(answer).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port was given");
  return `http://127.0.0.1:${address.port}`;
}
async function failureOf(trackingUri: string): Promise<TrackerError> {
  const tracker = mlflowTracker({ trackingUri });
  const error = await tracker.openRun({ run_id: "a".repeat(32) }, context).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(TrackerError);
  return error as TrackerError;
}

test.each([
  [429, true],
  [500, true],
  [502, true],
  [503, true],
  [504, true],
  [408, true],
  [400, false],
  [401, false],
  [403, false],
  [404, false],
  [413, false],
])("status %i: another try is worth it: %s", async (status, retryable) => {
  const url = await serve((_, response) => {
    response.writeHead(status, { "content-type": "application/json" });
    response.end(JSON.stringify({ error_code: "X", message: "The words of the server" }));
  });
  const error = await failureOf(url);
  expect(error.retryable).toBe(retryable);
  expect(error.message).toContain("The words of the server");
  expect(error.message).toContain(url);
});

test("the server's own wish for the next try is passed on", async () => {
  const url = await serve((_, response) => {
    response.writeHead(429, { "retry-after": "17" }).end();
  });
  expect((await failureOf(url)).retryAfterSeconds).toBe(17);
});

test("a connection that is cut in the answer is worth another try", async () => {
  const url = await serve((_, response) => {
    response.writeHead(200, { "content-type": "application/json", "content-length": "1000" });
    response.write('{"run":');
    setImmediate(() => response.destroy());
  });
  expect((await failureOf(url)).retryable).toBe(true);
});

test("a redirect is refused and not followed: it would take the credentials along", async () => {
  const seen: (string | undefined)[] = [];
  const url = await serve((request, response) => {
    seen.push(request.url);
    response.writeHead(302, { location: "/elsewhere" }).end();
  });
  const error = await failureOf(url);
  expect(error).toMatchObject({ retryable: false, message: expect.stringContaining("redirects") });
  expect(seen).toHaveLength(1);
});

test("a login page is told from MLflow", async () => {
  const url = await serve((_, response) => {
    response.writeHead(200, { "content-type": "text/html" }).end("<html>Log in</html>");
  });
  const error = await failureOf(url);
  expect(error).toMatchObject({ retryable: false, message: expect.stringContaining("not as MLflow does") });
});

test("credentials are sent as configured, and stand in no message", async () => {
  const seen: (string | undefined)[] = [];
  const url = await serve((request, response) => {
    seen.push(request.headers.authorization);
    response.writeHead(401).end();
  });
  const attempts = [
    { trackingUri: url, token: "s3cret" },
    { trackingUri: url, username: "ann", password: "s3cret" },
    { trackingUri: url.replace("http://", "http://ann:s3cret@") },
  ];
  for (const config of attempts) {
    const opened = mlflowTracker(config).openRun({ run_id: "a".repeat(32) }, context);
    await expect(opened).rejects.toThrow("in the collector's configuration");
    await expect(opened).rejects.not.toThrow("s3cret");
  }
  const basic = `Basic ${Buffer.from("ann:s3cret").toString("base64")}`;
  expect(seen).toEqual(["Bearer s3cret", basic, basic]);
});

test("closing the tracker cuts a call that hangs", async () => {
  const url = await serve(() => {});
  const tracker = mlflowTracker({ trackingUri: url });
  const opened = tracker.openRun({ run_id: "a".repeat(32) }, context);
  const asked = once(server ?? createServer(), "request");
  const failed = expect(opened).rejects.toMatchObject({ retryable: true });
  await asked;
  await tracker.close();
  await failed;
});

describe("a wrong configuration is refused at once:", () => {
  test.each([["ftp://x"], ["not an address"], ["file:///etc/passwd"], [""]])("the address %j", (trackingUri) => {
    expect(() => mlflowTracker({ trackingUri })).toThrow(RangeError);
  });
  test("a password in the address with a % of its own, which is not repeated", () => {
    const wrong = (): unknown => mlflowTracker({ trackingUri: "http://user:100%secret@x" });
    expect(wrong).toThrow(RangeError);
    expect(wrong).toThrow(/^mlflow: tracking_uri: a %.*%25/);
    expect(wrong).not.toThrow("secret");
    expect(() => mlflowTracker({ trackingUri: "http://us%25er:100%25@x" })).not.toThrow();
  });
  test("a token together with a user", () => {
    expect(() => mlflowTracker({ trackingUri: "http://x", token: "t", username: "u" })).toThrow("not both");
  });
});

test("without artifacts the tracker asks for no panels", () => {
  expect(mlflowTracker({ trackingUri: "http://x", artifacts: false }).capabilities.panels).toEqual([]);
});
