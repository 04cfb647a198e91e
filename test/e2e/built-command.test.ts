import { execFileSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { CommandProcess } from "./command-process.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "noisescale-built-"));
  execFileSync(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-b"], { cwd: root });
});
afterAll(() => rm(directory, { recursive: true }));

test("the built command, without the sources' condition, serves page, panels and interface", async () => {
  const command = CommandProcess.ofBuild("serve", "--port", "0", "--data", directory);
  try {
    const [, url] = await command.prints(/^(http:\S+)\n/);
    const headers = { "content-type": "application/json" };
    await fetch(`${url}/v1/runs/a`, { method: "PUT", headers, body: '{"project": "p"}' });
    for (const [path, type] of [
      ["/", "text/html"],
      ["/assets/page.js", "text/javascript"],
      ["/openapi.json", "application/json"],
      ["/v1/runs/a/panels/trade.html", "text/html"],
      ["/v1/runs/a/panels/trade.png", "image/png"],
    ] as const) {
      const response = await fetch(`${url}${path}`);
      expect({ path, status: response.status }).toEqual({ path, status: 200 });
      expect(response.headers.get("content-type")).toContain(type);
    }
    command.signal("SIGTERM");
    expect(await command.exit()).toBe(0);
  } finally {
    await command.kill();
  }
});
