import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { ConfigError, parseConfig, readConfigFile } from "../src/config.ts";
import { startCollector } from "../src/index.ts";
import { silentLogger } from "./silent-logger.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

const tensorboard = { name: "tb", kind: "tensorboard", root: "runs" };

test.each([
  ["a port that is none", { port: 70_000 }, /port/],
  ["an unknown field", { hosts: ["a"] }, /hosts: unknown field/],
  ["an unknown kind of tracker", { trackers: [{ ...tensorboard, kind: "paper" }] }, /trackers\.0\.kind/],
  ["a tracker without its root", { trackers: [{ name: "tb", kind: "tensorboard" }] }, /trackers\.0\.root/],
  ["two trackers of one name", { trackers: [tensorboard, tensorboard] }, /trackers: names must differ/],
  ["an address that is none", { trackers: [{ name: "m", kind: "mlflow", tracking_uri: "file:///x" }] }, /tracking_uri/],
  ["no address of a server anywhere", { trackers: [{ name: "t", kind: "trackio" }] }, /server_url.*TRACKIO_SERVER_URL/],
  ["no key for W&B anywhere", { trackers: [{ name: "w", kind: "wandb" }] }, /api_key.*WANDB_API_KEY/],
  ["a factor that is no factor", { alerts: { batch_factor: 1 } }, /alerts\.batch_factor/],
  ["an unknown rule", { alerts: { off: ["batch"] } }, /alerts\.off\.0/],
  ["a project's unknown field", { alerts: { projects: { p: { factor: 2 } } } }, /alerts\.projects\.p\.factor: unknown/],
  [
    "a webhook that is not configured",
    { alerts: { projects: { p: { webhooks: ["ops"] } } } },
    /alerts\.projects\.p\.webhooks\.0: no webhook "ops" is configured \(none is\)/,
  ],
  [
    "a webhook without a secret",
    { alerts: { webhooks: [{ name: "ops", kind: "json", url: "http://x" }] } },
    /alerts\.webhooks\.0\.secret/,
  ],
  [
    "a secret that is too short",
    { alerts: { webhooks: [{ name: "ops", kind: "json", url: "http://x", secret: "whsec_c2hvcnQ=" }] } },
    /alerts\.webhooks\.0\.secret: must hold at least 24 bytes/,
  ],
  [
    "a webhook's address with a password in it, which is not repeated",
    { alerts: { webhooks: [{ name: "ops", kind: "slack", url: "https://user:topsecret@x" }] } },
    /^(?!.*topsecret).*alerts\.webhooks\.0\.url: must hold no user name and password/s,
  ],
  [
    "a webhook at no http address",
    { alerts: { webhooks: [{ name: "ops", kind: "slack", url: "file:///etc/passwd" }] } },
    /alerts\.webhooks\.0\.url: must be an http\(s\) address/,
  ],
  ["a limit that is not positive", { limits: { runs: 0 } }, /limits\.runs/],
])("a configuration with %s is refused by the field's name", (_what, input, message) => {
  expect(() => parseConfig(input, "noisescale.config.json", ".")).toThrow(message);
  expect(() => parseConfig(input, "noisescale.config.json", ".")).toThrow(ConfigError);
});

test("a secret is read from the environment, and named where it is not set", () => {
  const input = {
    trackers: [{ name: "m", kind: "mlflow", tracking_uri: "http://mlflow", token: { env: "THE_TOKEN" } }],
  };
  expect(() => parseConfig(input, "file", ".")).toThrow(/THE_TOKEN/);
  vi.stubEnv("THE_TOKEN", "secret");
  expect(() => parseConfig(input, "file", ".")).not.toThrow();
  vi.unstubAllEnvs();
});

test("without a word on trackers those are configured whose server the environment names, and no others", async () => {
  const names = async (input: object): Promise<string[]> => [
    ...(await parseConfig(input, "file", ".").openTrackers()).keys(),
  ];
  for (const name of ["MLFLOW_TRACKING_URI", "TRACKIO_SERVER_URL", "WANDB_API_KEY"]) vi.stubEnv(name, "");
  expect(await names({})).toEqual([]);
  vi.stubEnv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000");
  vi.stubEnv("TRACKIO_SERVER_URL", "http://127.0.0.1:7860");
  expect(await names({})).toEqual(["mlflow", "trackio"]);
  expect(await names({ trackers: [] })).toEqual([]);
  vi.stubEnv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db");
  vi.stubEnv("WANDB_API_KEY", "a".repeat(40));
  expect(await names({})).toEqual(["trackio", "wandb"]);
  vi.unstubAllEnvs();
});

test("what the trackers' own clients take from the environment is taken from it too, where the configuration is silent", async () => {
  const authorizations: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    authorizations.push(request.headers.authorization ?? String(request.headers["x-trackio-write-token"]));
    response.writeHead(400).end();
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  vi.stubEnv("MLFLOW_TRACKING_URI", url);
  vi.stubEnv("MLFLOW_TRACKING_USERNAME", "ann");
  vi.stubEnv("MLFLOW_TRACKING_PASSWORD", "secret");
  vi.stubEnv("MLFLOW_TRACKING_TOKEN", "not used beside a user");
  vi.stubEnv("WANDB_API_KEY", "the key");
  vi.stubEnv("WANDB_BASE_URL", url);
  vi.stubEnv("TRACKIO_SERVER_URL", url);
  vi.stubEnv("TRACKIO_WRITE_TOKEN", "the token");
  const input = {
    trackers: [
      { name: "m", kind: "mlflow" },
      { name: "own", kind: "mlflow", token: "configured" },
      { name: "address", kind: "mlflow", tracking_uri: url.replace("//", "//bob:pass@") },
      { name: "t", kind: "trackio" },
      { name: "w", kind: "wandb" },
    ],
  };
  const trackers = await parseConfig(input, "file", ".").openTrackers();
  const context = { run: "r", project: "p", name: "r", queue: "0123456789abcdef" };
  for (const { tracker } of trackers.values()) {
    await expect(tracker.openRun({}, context)).rejects.toThrow(url);
    await tracker.close();
  }
  vi.unstubAllEnvs();
  server.close();
  const basic = `Basic ${Buffer.from("ann:secret").toString("base64")}`;
  const inAddress = `Basic ${Buffer.from("bob:pass").toString("base64")}`;
  const ofKey = `Basic ${Buffer.from("api:the key").toString("base64")}`;
  expect(authorizations).toEqual([basic, "Bearer configured", inAddress, "the token", ofKey]);
});

test("a file's paths are relative to its folder, and a file that is missing or no JSON is named", async () => {
  const directory = temporaryDirectory();
  const file = join(directory, "noisescale.config.json");
  expect(() => readConfigFile(file)).toThrow(/There is no file .*noisescale\.config\.json/);
  writeFileSync(file, "{");
  expect(() => readConfigFile(file)).toThrow(/noisescale\.config\.json cannot be read/);
  mkdirSync(join(directory, "data"));
  writeFileSync(file, JSON.stringify({ port: 0, trackers: [tensorboard] }));
  const collector = await startCollector({
    dataDirectory: join(directory, "data"),
    configFile: file,
    logger: silentLogger,
  });
  await collector.close();
  const trackers = await readConfigFile(file).openTrackers();
  expect(trackers.get("tb")?.tracker.kind).toBe("tensorboard");
});

test("a port that is taken is an error, and what was opened is closed again", async () => {
  const directory = temporaryDirectory();
  const first = await startCollector({
    dataDirectory: join(directory, "one"),
    port: 0,
    config: {},
    logger: silentLogger,
  });
  const port = Number(new URL(first.url).port);
  const second = { dataDirectory: join(directory, "two"), config: {}, logger: silentLogger };
  await expect(startCollector({ ...second, port })).rejects.toThrow(/EADDRINUSE/);
  await first.close();
  await (await startCollector({ ...second, port: 0 })).close();
});
