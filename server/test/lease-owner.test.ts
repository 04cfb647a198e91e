import { spawn } from "node:child_process";
import { once } from "node:events";
import { hostname } from "node:os";
import { expect, test } from "vitest";
import { isGone, leaseOwner } from "../src/outbox/lease-owner.ts";

test("this process and a holder on another machine are not taken for gone", () => {
  expect(isGone(leaseOwner)).toBe(false);
  expect(isGone(`elsewhere.${hostname()}/1/x`)).toBe(false);
});

test("a process that runs holds its lease, and once it has ended it is gone", async () => {
  const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"]);
  const owner = `${hostname()}/${child.pid}/x`;
  expect(isGone(owner)).toBe(false);
  child.kill("SIGKILL");
  await once(child, "exit");
  expect(isGone(owner)).toBe(true);
});

test("an earlier process that had this one's id is gone", () => {
  expect(isGone(`${hostname()}/${process.pid}/earlier`)).toBe(true);
});
