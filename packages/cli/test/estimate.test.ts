import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Snapshot } from "@noisescale/protocol";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { shuffled } from "../src/demo/seeded-random.ts";
import { estimate } from "../src/estimate.ts";
import { commandLine } from "./command-line.ts";
import { simulatedMeasurements } from "./simulated-measurements.ts";

const lines = simulatedMeasurements(600, 400, 1).map((measurement) => JSON.stringify(measurement));
let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "noisescale-estimate-"));
});
afterAll(() => rm(directory, { recursive: true }));

async function estimateOf(text: string, ...options: string[]) {
  return commandLine(["estimate", "-", ...options], [estimate], text);
}

async function snapshotOf(text: string): Promise<Snapshot> {
  return JSON.parse((await estimateOf(text, "--json")).output);
}

describe("noisescale estimate", () => {
  test("answers the noise scale of a simulated run inside its interval, as one JSON line", async () => {
    const { code, output } = await estimateOf(lines.join("\n"), "--json");
    expect(code).toBe(0);
    expect(output.trim().split("\n")).toHaveLength(1);
    const snapshot: Snapshot = JSON.parse(output);
    expect(snapshot).toMatchObject({ run: "stdin", step: 599, measurements: 600, identifiable: true });
    expect(snapshot.horizons).toHaveLength(7);
    expect(snapshot.b_simple_low).toBeLessThan(400);
    expect(snapshot.b_simple_high).toBeGreaterThan(400);
  });

  test("gives the same snapshot whatever the order of the lines, and counts a repeated line once", async () => {
    const inOrder = await snapshotOf(lines.join("\n"));
    expect(await snapshotOf([...shuffled(lines, 3), lines[5]].join("\n"))).toEqual(inOrder);
  });

  test("lets the higher attempt win from its first step on", async () => {
    const first = simulatedMeasurements(300, 400, 1);
    const second = simulatedMeasurements(300, 400, 2)
      .filter(({ step }) => step >= 200)
      .map((measurement) => ({ ...measurement, attempt: 7 }));
    const snapshot = await snapshotOf([...second, ...first].map((m) => JSON.stringify(m)).join("\n"));
    expect(snapshot).toMatchObject({ attempt: 7, measurements: 300, step: 299 });
  });

  test("takes the unit and the batch multiple from the first line", async () => {
    const declaration = JSON.stringify({ run: { project: "p", unit: "token", batch_multiple: 64 } });
    const snapshot = await snapshotOf([declaration, ...lines].join("\n"));
    expect(snapshot.unit).toBe("token");
    expect((snapshot.recommendation.batch_size ?? 1) % 64).toBe(0);
  });

  test("says in words what to do, on what it rests, and with which interval", async () => {
    const { output } = await estimateOf(lines.join("\n"));
    expect(output).toMatch(/a batch of \d+ would take 0\.\d+× the steps for 1\.\d+× the examples/);
    expect(output).toMatch(/95 % between \d+ and \d+/);
    expect(output).toMatch(/indicator/);
  });

  test("names the line and the reason where a file is broken, and fails with 1", async () => {
    const file = join(directory, "broken.ndjson");
    const negative = {
      ...simulatedMeasurements(1, 400, 1)[0],
      step: 9999,
      small: { batch_size: 32, squared_norm: -1, count: 8 },
    };
    await writeFile(file, [...lines.slice(0, 2), '{"step": 3, "small', JSON.stringify(negative)].join("\n"));
    const { code, output, messages } = await commandLine(["estimate", file], [estimate]);
    expect({ code, output }).toEqual({ code: 1, output: "" });
    expect(messages).toContain("line 3: not JSON");
    expect(messages).toContain("line 4: small.squared_norm");
  });

  test("refuses a step that stands twice with other values", async () => {
    const { code, messages } = await estimateOf(
      [...lines, (lines[4] ?? "").replace('"count":8', '"count":9')].join("\n"),
    );
    expect(code).toBe(1);
    expect(messages).toContain("line 601: step: 4 stands above with other values");
  });

  test("fails with 1 for a file that is not there or holds nothing, and with 2 where none is named", async () => {
    expect((await commandLine(["estimate", join(directory, "none")], [estimate])).messages).toContain(
      "There is no file",
    );
    expect((await estimateOf("\n\n")).code).toBe(1);
    expect((await commandLine(["estimate"], [estimate])).code).toBe(2);
  });
});
