import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Collector, startCollector } from "@noisescale/server";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { sweepMeasurements, sweepRatio } from "../../../server/test/sweep-source.ts";
import { frontier } from "../src/frontier.ts";
import { commandLine } from "./command-line.ts";

let directory: string;
let collector: Collector;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "noisescale-group-"));
  collector = await startCollector({
    dataDirectory: directory,
    port: 0,
    config: {},
  });
  const send = (method: string, path: string, body: object) =>
    fetch(collector.url + path, {
      method,
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
  for (const batchSize of [8, 32, 128, 512, 2048]) {
    await send("PUT", `/v1/runs/b${batchSize}`, { project: "digits", group: "sweep" });
    const measurements = sweepMeasurements({ batchSize, evaluation: "validation_loss", learningRate: 0.1 });
    await send("POST", `/v1/runs/b${batchSize}/measurements`, { measurements });
  }
});
afterAll(async () => {
  await collector.close();
  await rm(directory, { recursive: true });
});

const run = (...options: string[]) => commandLine(["frontier", "--collector", collector.url, ...options], [frontier]);

describe("noisescale frontier --collector", () => {
  test("prints a group's frontiers with what each run gave, and draws them", async () => {
    const png = join(directory, "frontier.png");
    const { code, output, messages } = await run(
      "--group",
      "sweep",
      "--target",
      "validation_loss<=1,validation_loss<=0.5",
      "--png",
      png,
    );
    expect([code, messages]).toEqual([0, ""]);
    expect(output).toContain("critical batch size");
    expect(output).toContain("Runs of group sweep to validation_loss<=0.5:");
    expect(output).toMatch(/^b128 +128 +\d+ +0\.1$/m);
    expect((await readFile(png)).subarray(1, 4).toString()).toBe("PNG");
  });

  test("makes the project's calibration, and says it", async () => {
    const { code, output } = await run("--group", "sweep", "--target", "validation_loss<=0.5", "--calibrate", "--json");
    expect(code).toBe(0);
    const answer = JSON.parse(output);
    expect(answer.targets).toHaveLength(1);
    expect(answer.groups[0].runs).toHaveLength(5);
    // As in the collector's own test of the calibration.
    expect(Math.abs(answer.calibration.ratio / sweepRatio - 1)).toBeLessThan(0.1);
    const text = await run("--group", "sweep", "--target", "validation_loss<=0.5", "--calibrate");
    expect(text.output).toMatch(/Calibration of project digits: critical batch size = 0\.2\d+ × B_simple, 95 %/);
    const snapshot = await (await fetch(`${collector.url}/v1/runs/b8/snapshot`)).json();
    expect(snapshot.recommendation.calibrated).toBe(true);
  });

  test("answers what cannot be fitted with a sentence and exit code 1, never a number", async () => {
    const { code, output, messages } = await run("--group", "sweep", "--target", "validation_loss<=0.0001");
    expect([code, output]).toEqual([1, ""]);
    expect(messages).toContain("The frontier of validation_loss<=0.0001 cannot be fitted.");
    expect(messages).toContain("b8 is still running and has not met the target");
    const partly = await run("--group", "sweep", "--target", "validation_loss<=0.5,accuracy>=1");
    expect(partly.code).toBe(1);
    expect(partly.output).toContain("Runs of group sweep to validation_loss<=0.5:");
    expect(partly.messages).toContain('They report "other accuracy", "validation_loss".');
    const unknown = await run("--group", "nothing", "--target", "a<=1");
    expect([unknown.code, unknown.messages]).toEqual([1, expect.stringContaining('No run is in a group "nothing"')]);
  });

  test("says what is missing or does not go together, as wrong usage", async () => {
    const usage = async (...options: string[]) => {
      const { code, messages } = await commandLine(["frontier", ...options], [frontier]);
      return [code, messages.split("\n")[0]];
    };
    expect(await usage("--group", "sweep")).toEqual([2, expect.stringContaining("name it with --collector")]);
    expect(await usage("--collector", "nowhere")).toEqual([2, expect.stringContaining("must be an address")]);
    expect(await usage("--collector", "http://x")).toEqual([2, expect.stringContaining("needs --group")]);
    expect(await usage("--collector", "http://x", "--group", "g")).toEqual([
      2,
      expect.stringContaining("needs --target"),
    ]);
    expect(await usage("--collector", "http://x", "--group", "g", "--target", "a<=1,a<=2", "--calibrate")).toEqual([
      2,
      expect.stringContaining("takes one --target"),
    ]);
  });

  test("says that no collector answers, and how to start one", async () => {
    const { code, messages } = await commandLine(
      ["frontier", "--collector", "http://127.0.0.1:9", "--group", "g", "--target", "a<=1"],
      [frontier],
    );
    expect([code, messages]).toEqual([1, expect.stringContaining("start one with noisescale serve")]);
  });
});
