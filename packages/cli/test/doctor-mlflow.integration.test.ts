import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { MlflowServer } from "../../../plugins/tracker-mlflow/test/mlflow-server.ts";
import { ReverseProxy } from "../../../plugins/tracker-mlflow/test/reverse-proxy.ts";
import { doctor } from "../src/doctor.ts";
import { commandLine } from "./command-line.ts";

// Accounts and a token that live as long as this file's servers.
const admin = { username: "admin", password: "correct-horse-battery" };
const reader = { username: "ann", password: "may-read-but-not-write" };
const token = "the-proxy's-token";
const basic = (user: typeof admin): string => `Basic ${btoa(`${user.username}:${user.password}`)}`;

let folder: string;
let server: MlflowServer;
/** In front of the server with accounts: one that wants a token, one that lets nobody write, one under another name. */
let gate: ReverseProxy;
let readOnly: ReverseProxy;
let login: ReverseProxy;
let alias: ReverseProxy;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "noisescale-doctor-"));
  server = await MlflowServer.start(["--app-name", "basic-auth"], {
    MLFLOW_AUTH_ADMIN_USERNAME: admin.username,
    MLFLOW_AUTH_ADMIN_PASSWORD: admin.password,
    MLFLOW_FLASK_SERVER_SECRET_KEY: "of this test",
  });
  gate = await ReverseProxy.demandingToken(server.url, token, basic(admin));
  readOnly = await ReverseProxy.start(server.url, () => ({ status: 403, body: "This token may only read." }));
  login = await ReverseProxy.start(server.url, () => ({ status: 302, headers: { location: "/sign-in" }, body: "" }));
  alias = await ReverseProxy.start(server.url, () => ({ host: "mlflow.example.org" }));
  const made = await fetch(`${server.url}/api/2.0/mlflow/users/create`, {
    method: "POST",
    headers: { authorization: basic(admin), "content-type": "application/json" },
    body: JSON.stringify(reader),
  });
  expect(made.status).toBe(200);
});
afterAll(async () => {
  for (const proxy of [gate, readOnly, login, alias]) proxy?.stop();
  await server?.stop();
  await rm(folder, { recursive: true });
});
afterEach(() => {
  vi.unstubAllEnvs();
});

/** What the doctor says of one tracker. */
async function saidOf(tracker: object): Promise<string> {
  const file = join(folder, "noisescale.config.json");
  await writeFile(file, JSON.stringify({ trackers: [{ name: "team", kind: "mlflow", ...tracker }] }));
  const { output } = await commandLine(["doctor", "--config", file], [doctor]);
  const [line = "", ...others] = output.trimEnd().split("\n");
  expect(others).toEqual([]);
  for (const secret of [admin.password, reader.password, token, "guessed"]) expect(output).not.toContain(secret);
  return line;
}

test("an account, and a token at the proxy, reach a server with accounts: metric and artifact", async () => {
  for (const tracker of [
    { tracking_uri: server.url, ...admin },
    { tracking_uri: server.url.replace("//", `//${admin.username}:${admin.password}@`) },
    { tracking_uri: gate.url, token },
  ]) {
    expect(await saidOf(tracker)).toMatch(/^works {2}team \(mlflow\): Wrote a metric and an artifact .* deleted it\.$/);
  }
});

test("MLFLOW_TRACKING_TOKEN is used as MLflow's own client uses it", async () => {
  vi.stubEnv("MLFLOW_TRACKING_TOKEN", token);
  expect(await saidOf({ tracking_uri: gate.url })).toMatch(/^works /);
});

test.each([
  ["no credentials", () => ({ tracking_uri: server.url }), "It wants username and password, and there is none"],
  [
    "a wrong password",
    () => ({ tracking_uri: server.url, ...admin, password: "guessed" }),
    "It does not take this username and password",
  ],
  [
    "a token where an account is wanted",
    () => ({ tracking_uri: server.url, token }),
    "It wants username and password, and there is a token",
  ],
  ["no token", () => ({ tracking_uri: gate.url }), "It wants a token, and there is none"],
  ["a wrong token", () => ({ tracking_uri: gate.url, token: "guessed" }), "It does not take this token"],
  [
    "an account where a token is wanted",
    () => ({ tracking_uri: gate.url, ...admin }),
    "It wants a token, and there are username and password",
  ],
  [
    "an account that may not write",
    () => ({ tracking_uri: server.url, ...reader }),
    "refused to make a run in the experiment 0 (HTTP 403: Permission denied). The account in the collector's configuration may not: give it EDIT on the experiment",
  ],
  [
    "a proxy's own refusal",
    () => ({ tracking_uri: readOnly.url, token }),
    "(HTTP 403: This token may only read.). Check the credentials of this tracker in the collector's configuration, and what they may do.",
  ],
  ["a login page", () => ({ tracking_uri: login.url, token }), "where that is a login page"],
  [
    "a host name that MLflow does not list",
    () => ({ tracking_uri: alias.url, ...admin }),
    "start MLflow with --allowed-hosts or MLFLOW_SERVER_ALLOWED_HOSTS naming it",
  ],
])("%s is told from the others, with its remedy", async (_, tracker, said) => {
  const line = await saidOf(tracker());
  expect(line).toContain("FAILS  team (mlflow)");
  expect(line).toContain(said);
});
