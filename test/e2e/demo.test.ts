import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { panelNames } from "@noisescale/charts";
import { type Snapshot, snapshotSchema } from "@noisescale/protocol";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CommandProcess } from "./command-process.ts";

let directory: string;
let demo: CommandProcess;
let code: number | null;
let snapshot: Snapshot;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "noisescale-demo-"));
  demo = CommandProcess.ofSources("demo", "--exit", "--json", "--data", directory);
  code = await demo.exit();
  snapshot = JSON.parse(demo.output);
});
afterAll(async () => {
  await demo.kill();
  await rm(directory, { recursive: true });
});

describe("noisescale demo --exit --json", () => {
  test("ends with 0 and one line on standard output, which is a full snapshot", () => {
    expect(code).toBe(0);
    expect(demo.output.trim().split("\n")).toHaveLength(1);
    expect(snapshotSchema.safeParse(snapshot).success).toBe(true);
  });

  test("finds the noise scale of real digits, bounded on both sides", () => {
    expect(snapshot.identifiable).toBe(true);
    expect(snapshot.b_simple_low).toBeGreaterThan(1);
    expect(snapshot.b_simple_high).toBeLessThan(100_000);
  });

  test("recommends from B_noise, which is far below B_simple on these digits", () => {
    expect(snapshot.recommendation).toMatchObject({ basis: "b_noise", calibrated: false });
    expect(snapshot.predicted.basis).toBe("b_noise");
    expect(snapshot.b_noise_low).toBeGreaterThan(1);
    expect(snapshot.b_noise).toBeLessThan(0.5 * (snapshot.b_simple ?? 0));
  });

  test("learns the digits: more than 85 % of 2,000 held-back ones", () => {
    const accuracy = Number(/Test accuracy ([\d.]+) %/.exec(demo.messages)?.[1]);
    expect(accuracy).toBeGreaterThan(85);
  });

  test("tells a person, on standard error, what to do and what it rests on", () => {
    expect(demo.messages).toMatch(/Live page: http:\/\/127\.0\.0\.1:\d+\/runs\/mnist-\d+/);
    expect(demo.messages).toMatch(/Training \d+\/\d+/);
    expect(demo.messages).toMatch(/95 % between [\d,.]+ and [\d,.]+/);
    expect(demo.messages).toMatch(/the least steps/);
  });

  test("leaves TensorBoard event files under the run's own directory", async () => {
    const files = await readdir(join(directory, "tensorboard", snapshot.run, "noise_scale"));
    expect(files.filter((name) => name.startsWith("events.out.tfevents."))).not.toHaveLength(0);
  });

  test("leaves a picture of every panel", async () => {
    // The demo gives no cause for an alert.
    for (const panel of panelNames.filter((name) => name !== "alerts")) {
      const picture = await readFile(join(directory, "panels", `${panel}.png`));
      expect(picture.subarray(1, 4).toString()).toBe("PNG");
      expect(picture.length).toBeGreaterThan(20_000);
    }
  });
});
