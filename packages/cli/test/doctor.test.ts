import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { doctor } from "../src/doctor.ts";
import { commandLine } from "./command-line.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "noisescale-doctor-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function configured(trackers: readonly object[]): Promise<string> {
  const file = join(folder, "noisescale.config.json");
  await writeFile(file, JSON.stringify({ trackers }));
  return file;
}

describe("noisescale doctor", () => {
  test("says of a tracker that works what was tried, and leaves nothing in it", async () => {
    const config = await configured([{ name: "board", kind: "tensorboard", root: "./logs" }]);
    const { code, output } = await commandLine(["doctor", "--config", config], [doctor]);
    expect(output).toMatch(/^works {2}board \(tensorboard\): Wrote an event file below .*logs and removed it\.\n$/);
    expect(code).toBe(0);
    expect(await readdir(join(folder, "logs"))).toEqual([]);
  });

  test("names each tracker that does not work with its reason, tries the others all the same, and ends with 1", async () => {
    await writeFile(join(folder, "a-file"), "");
    const config = await configured([
      { name: "down", kind: "mlflow", tracking_uri: "http://127.0.0.1:1" },
      { name: "no-folder", kind: "tensorboard", root: "./a-file" },
      { name: "board", kind: "tensorboard", root: "./logs" },
    ]);
    const { code, output, messages } = await commandLine(["doctor", "--json", "--config", config], [doctor]);
    expect(JSON.parse(output)).toEqual([
      {
        tracker: "down",
        kind: "mlflow",
        ok: false,
        message: expect.stringMatching(/127\.0\.0\.1:1 .*Is it running\?$/),
      },
      { tracker: "no-folder", kind: "tensorboard", ok: false, message: expect.stringContaining("a-file") },
      { tracker: "board", kind: "tensorboard", ok: true, message: expect.stringContaining("removed it") },
    ]);
    expect(messages).toContain("2 of 3 trackers cannot be written to.");
    expect(code).toBe(1);
  });

  test("says that none is configured, and which field of a broken configuration is wrong", async () => {
    const none = await commandLine(["doctor", "--config", await configured([])], [doctor]);
    expect(none).toMatchObject({ code: 0, output: "", messages: expect.stringContaining("No tracker is configured") });
    const broken = await commandLine(
      ["doctor", "--config", await configured([{ name: "x", kind: "lotus" }])],
      [doctor],
    );
    expect(broken).toMatchObject({ code: 1, messages: expect.stringContaining("trackers.0") });
  });
});
