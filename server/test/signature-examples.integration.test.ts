import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { signedHeaders, webhookKey } from "../src/alerts/webhook-request.ts";

const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
const python = fileURLToPath(new URL("../../.cache/venv/bin/python", import.meta.url));

function example(language: string, holds: string): string {
  const block = [...readme.matchAll(/```(\w+)\n(.*?)```/gs)].find(
    ([, kind, code]) => kind === language && code?.includes(holds),
  );
  if (block?.[2] === undefined) throw new Error(`the README has no ${language} example of ${holds}`);
  return block[2];
}

const secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const key = webhookKey(secret);
const body = JSON.stringify({ type: "alert", link: null, name: "naïve ≥ <b> \u2028" });
const now = signedHeaders(key, "msg-1", body, Date.now());
const cases = [
  ["a message as it was sent", now, body, true],
  ["one of several signatures", { ...now, "webhook-signature": `v1,AAAA ${now["webhook-signature"]}` }, body, true],
  ["another body", now, `${body} `, false],
  ["another id", { ...now, "webhook-id": "msg-2" }, body, false],
  ["no signature", { ...now, "webhook-signature": "" }, body, false],
  ["an old message played back", signedHeaders(key, "msg-1", body, Date.now() - 400_000), body, false],
] as const;

test.each(cases)("the README's Python tells %s", (_what, headers, sent, genuine) => {
  const call = `import json, sys\nheaders, body, key = json.load(sys.stdin)\nprint(is_genuine(headers, body.encode(), bytes.fromhex(key)))`;
  const input = JSON.stringify([headers, sent, Buffer.from(key).toString("hex")]);
  const code = `${example("python", "is_genuine")}\n${call}`;
  expect(execFileSync(python, ["-c", code], { input, encoding: "utf8" }).trim()).toBe(genuine ? "True" : "False");
});

test.each(cases)("the README's JavaScript tells %s", async (_what, headers, sent, genuine) => {
  const code = encodeURIComponent(example("js", "isGenuine"));
  const { isGenuine } = (await import(/* @vite-ignore */ `data:text/javascript,${code}`)) as {
    isGenuine(headers: Record<string, string | undefined>, body: string, key: Uint8Array): boolean;
  };
  expect(isGenuine(headers, sent, key)).toBe(genuine);
});
