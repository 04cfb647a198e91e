import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { frontier } from "../src/frontier.ts";
import { commandLine } from "./command-line.ts";

const header = "batch_size,steps,target,run,learning_rate,seed";
const batchSizes = [16, 64, 256, 1024, 4096];
const targets = [
  { target: 1, minSteps: 50, critical: 40 },
  { target: 0.5, minSteps: 90, critical: 160 },
  { target: 0.25, minSteps: 200, critical: 640 },
];

/** On exact frontiers but for three seeds that differ by a percent; a learning rate that is worse comes along. */
const sweep = targets.flatMap(({ target, minSteps, critical }) =>
  batchSizes.flatMap((batchSize) =>
    [0.1, 0.2].flatMap((rate) =>
      [0.99, 1, 1 / 0.99].map(
        (factor, seed) =>
          `${batchSize},${minSteps * (1 + critical / batchSize) * factor * (rate === 0.1 ? 1 : 1.5)},${target},b${batchSize}-r${rate}-s${seed},${rate},${seed}`,
      ),
    ),
  ),
);

const run = (lines: readonly string[], ...options: string[]) =>
  commandLine(["frontier", "-", ...options], [frontier], lines.join("\n"));

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "noisescale-frontier-"));
});
afterAll(() => rm(directory, { recursive: true }));

describe("noisescale frontier", () => {
  test("answers each target's frontier and the power law over them, as one JSON line", async () => {
    const { code, output } = await run([header, ...sweep], "--json");
    expect(code).toBe(0);
    expect(output.trim().split("\n")).toHaveLength(1);
    const answer = JSON.parse(output);
    expect(answer.targets).toHaveLength(3);
    for (const [index, { target, minSteps, critical }] of targets.entries()) {
      const found = answer.targets[index];
      expect(found).toMatchObject({ target, runs: 15, censored: [], intervals: "seeds" });
      // the seeds' factors cancel in the mean of ln S
      expect(found.min_steps).toBeCloseTo(minSteps, 6);
      expect(found.critical_batch_size).toBeCloseTo(critical, 6);
      expect(found.min_units).toBeCloseTo(minSteps * critical, 4);
      expect(found.critical_batch_size_low).toBeLessThan(critical);
      expect(found.critical_batch_size_high).toBeGreaterThan(critical);
    }
    // 40, 160, 640 at losses 1, 1/2, 1/4: B_crit = 40/L²
    expect(answer.power_law.alpha).toBeCloseTo(0.5, 9);
    expect(answer.power_law.critical_batch_size_at_one).toBeCloseTo(40, 6);
    expect(answer.unfitted).toEqual([]);
  });

  test("prints a line a target for people, from a file as well", async () => {
    const file = join(directory, "sweep.csv");
    await writeFile(file, `\uFEFF${[header, ...sweep].join("\r\n")}\r\n`);
    const { code, output } = await commandLine(["frontier", file], [frontier]);
    expect(code).toBe(0);
    expect(output).toMatch(/^ +0\.5 +160 +\[\d+ to \d+\] +90 /m);
    expect(output).toContain("critical batch size = 40 / loss^(1/0.500)");
  });

  test("lists the runs that never reached a target, and leaves out a batch size where that is most", async () => {
    const censored = sweep.map((line) =>
      /^4096,.*,0\.5,.*-s[01],/.test(line) ? line.replace(/^4096,[^,]*/, "4096,") : line,
    );
    const { output } = await run([header, ...censored], "--json");
    expect(JSON.parse(output).targets[1]).toMatchObject({
      runs: 12,
      censored: [{ batch_size: 4096, learning_rate: 0.1, runs: 3, never_reached: 2, left_out: true }],
    });
    expect((await run([header, ...censored])).output).toContain(
      "Target 0.5: batch size 4096 is left out: 2 of 3 runs never reached it.",
    );
  });

  test.each([
    ["two batch sizes", ["16,100,1", "64,50,1"], /at least 3 batch sizes/],
    ["steps that rise with the batch size", ["16,100,1", "64,120,1", "256,150,1"], /do not fall/],
    ["a target that is never reached", ["16,,1", "64,,1", "256,,1"], /never reached/],
  ])("says of %s why nothing is fitted, without a number: exit code 1", async (_, lines, reason) => {
    for (const options of [[], ["--json"]]) {
      const { code, output, messages } = await run(["batch_size,steps,target", ...lines], ...options);
      expect(code).toBe(1);
      expect(output).toBe("");
      expect(messages).toMatch(/target 1 cannot be fitted\./);
      expect(messages).toMatch(reason);
    }
  });

  test("answers the other targets where one cannot be fitted, and ends with exit code 1", async () => {
    const never = batchSizes.map((batchSize) => `${batchSize},,0.1,b${batchSize},0.1,0`);
    const { code, output, messages } = await run([header, ...sweep, ...never], "--json");
    expect(code).toBe(1);
    expect(JSON.parse(output).targets).toHaveLength(3);
    expect(JSON.parse(output).unfitted).toEqual([{ target: 0.1, reason: expect.stringMatching(/never reached/) }]);
    expect(messages).toMatch(/target 0\.1 cannot be fitted/);
  });

  test("names every broken line and its reason", async () => {
    const { code, output, messages } = await run([
      header,
      "16,100,1,a,,",
      "x,100,1,b,,",
      "32,-5,1,c,,",
      "",
      "64,1e999,1,d,,",
      "64,10,,e,,",
      "16,90,1,a,,",
    ]);
    expect(code).toBe(1);
    expect(output).toBe("");
    expect(messages).toContain('line 3: batch_size: must be a number above 0, not "x"');
    expect(messages).toMatch(/line 4: steps: must be a number above 0, or empty .* not "-5"/);
    expect(messages).toMatch(/line 6: steps: .*"1e999"/);
    expect(messages).toContain('line 7: target: must be a number, not ""');
    expect(messages).toContain("line 8: the same run and target stand in line 2");
  });

  test.each([
    ["a missing column", ["batch_size,target", "16,1"], /column steps is missing/],
    ["an unknown column", ["batch_size,steps,target,lr", "16,1,1,.1"], /column "lr" is not known/],
    ["a line that is too short", ["batch_size,steps,target", "16,1,1", "32,1"], /line 3/],
    ["an open quote", ["batch_size,steps,target", '16,"1,1'], /line 2/],
    ["no line", [], /holds no run/],
    [
      "learning rates in some lines",
      ["batch_size,steps,target,learning_rate", "16,1,1,.1", "32,1,1,"],
      /learning_rate is empty/,
    ],
  ])("refuses %s: exit code 1", async (_, lines, reason) => {
    const { code, messages } = await run(lines);
    expect(code).toBe(1);
    expect(messages).toMatch(reason);
    expect(messages).not.toMatch(/\.ts:\d/);
  });

  test("writes the frontiers and the critical batch size against the loss as pictures, in the words of the unit", async () => {
    const [png, lossPng] = [join(directory, "frontier.png"), join(directory, "loss.png")];
    const { code, output } = await run([header, ...sweep], "--png", png, "--loss-png", lossPng, "--unit", "token");
    expect(code).toBe(0);
    expect(output).toContain("least tokens");
    for (const file of [png, lossPng]) {
      expect((await readFile(file)).subarray(1, 4).toString()).toBe("PNG");
    }
  });

  test("names a picture that cannot be made or written, after the answer", async () => {
    const one = await run([header, ...sweep.slice(0, 30)], "--loss-png", join(directory, "none.png"));
    expect(one.code).toBe(1);
    expect(one.output).toContain("critical batch size");
    expect(one.messages).toMatch(/--loss-png needs two targets/);
    const unwritable = await run([header, ...sweep], "--png", join(directory, "no-folder", "a.png"));
    expect(unwritable).toMatchObject({ code: 1, messages: expect.stringMatching(/a\.png cannot be written: ENOENT/) });
    expect((await run([header, ...sweep], "--unit", "word")).code).toBe(2);
  });

  test("a missing file is named, a wrong command line is exit code 2", async () => {
    const missing = await commandLine(["frontier", join(directory, "none.csv")], [frontier]);
    expect(missing).toMatchObject({ code: 1, messages: expect.stringMatching(/There is no file .*none\.csv/) });
    expect((await commandLine(["frontier"], [frontier])).code).toBe(2);
    expect((await commandLine(["frontier", "a", "b"], [frontier])).code).toBe(2);
    expect((await commandLine(["frontier", "a", "--csv"], [frontier])).code).toBe(2);
    const target = await commandLine(["frontier", "a", "--target", "loss<=0.3"], [frontier]);
    expect(target).toMatchObject({ code: 2, messages: expect.stringMatching(/--target does not go with a FILE/) });
  });
});
