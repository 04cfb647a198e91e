import { describe, expect, test } from "vitest";
import { branch } from "../src/branch.ts";
import { commandLine } from "./command-line.ts";

const run = (argv: readonly string[], input = "") => commandLine(["branch", ...argv], [branch], input);

/** Losses on a line that falls to 1, a level above it for each batch size, at steps from 500 on. */
function losses(levels: Readonly<Record<number, number>>, { seeds = 1, units = 6400 } = {}): string {
  const lines = Object.entries(levels).flatMap(([batchSize, level]) =>
    Array.from({ length: seeds }, (_, seed) =>
      Array.from({ length: units / Number(batchSize) + 1 }, (__, step) => {
        const loss = 2 - (step * Number(batchSize)) / units + level + seed / 10;
        return `${batchSize},${500 + step},${loss.toFixed(6)},${seed}`;
      }),
    ).flat(),
  );
  return ["batch_size,step,loss,seed", ...lines].join("\n");
}

describe("noisescale branch plan", () => {
  test("says which branches to train, how, and how to read them", async () => {
    const { code, output } = await run([
      ...["plan", "--batch-size", "32", "--learning-rate", "0.001", "--noise-scale", "100"],
      ...["--multiples", "1,4", "--units", "1280", "--group", "g", "--tolerance", "0.02"],
    ]);
    expect(code).toBe(0);
    expect(output).toMatch(/g-at-32 +32 +0\.001 +40 /);
    expect(output).toMatch(/g-at-128 +128 +0\.002 +10 +4\.00× +0\.50×/);
    expect(output).toMatch(/At 4× the batch is above the noise scale/);
    expect(output).toMatch(/branch read --collector URL --group g --tolerance 0\.02/);
  });

  test("--json gives the same to programs, with SGD's rate by the noise scale", async () => {
    const { output } = await run(
      "plan --batch-size 32 --learning-rate 0.1 --optimizer sgd --noise-scale 32 --multiples 1,4 --json".split(" "),
    );
    expect(JSON.parse(output)).toMatchObject({
      group: "branch-32",
      units: 12_800,
      rule: "sgd",
      tolerance: 0.01,
      branches: [
        { run: "branch-32-at-32", batch_size: 32, steps: 400, learning_rate: 0.1, adam: null },
        { run: "branch-32-at-128", batch_size: 128, steps: 100, learning_rate_factor: 1.6 },
      ],
    });
  });

  test("gives the factor where no rate is given, linear for SGD without a noise scale", async () => {
    const { output } = await run("plan --batch-size 32 --optimizer sgd".split(" "));
    expect(output).toMatch(/branch-32-at-256 +256 +8\.00× +100/);
    expect(output).toMatch(/with --noise-scale it would be scaled less/);
  });
});

describe("noisescale branch read", () => {
  test("answers the largest batch size within the tolerance, from CSV on standard input", async () => {
    const { code, output } = await run(["read", "-"], losses({ 16: 0, 32: 0.004, 64: 0.008, 128: 0.1 }));
    expect(code).toBe(0);
    expect(output).toMatch(
      /^64 is the largest batch size that is as good, example by example; at 128 it is not\. One seed\.$/m,
    );
    expect(output).toMatch(/^ +64 +1\.1330 .* 0\.0080 .* within, one seed +1 +25$/m);
    expect(output).toMatch(/from the losses in the window alone, taken as independent/);
  });

  test("--json gives the same to programs; seeds are compared in pairs", async () => {
    const { output } = await run(["read", "-", "--json"], losses({ 16: 0, 32: 0.004, 64: 0.05 }, { seeds: 3 }));
    expect(JSON.parse(output)).toMatchObject({
      largest_within: 32,
      smallest_beyond: 64,
      settled: true,
      units: 6400,
      uncertainty: "seeds",
      branches: [
        { batch_size: 16, verdict: "smallest", excess: null, runs: 3 },
        { batch_size: 32, verdict: "within", excess: expect.closeTo(0.004, 6), diverged: false },
        { batch_size: 64, verdict: "beyond" },
      ],
    });
  });

  test("says where every batch size is as good, and where the noise leaves it open", async () => {
    const all = await run(["read", "-"], losses({ 16: 0, 32: 0 }));
    expect(all.output).toMatch(/^Every batch size up to 32 is as good.*: the limit lies at 32 or above\. One seed\.$/m);
    const open = await run(["read", "-"], losses({ 16: 0, 3200: 0 }));
    expect(open.code).toBe(0);
    expect(open.output).toMatch(/^Not settled: 16 is as good, example by example; the noise leaves 3200 open\./m);
    expect(open.output).toMatch(/3200 .*\[not known\].* not settled/);
  });

  test("reads NDJSON too, where null says that a branch diverged", async () => {
    const lines = [16, 32].flatMap((batch_size) =>
      Array.from({ length: 101 }, (_, step) => ({ batch_size, step, loss: batch_size === 32 && step > 40 ? null : 1 })),
    );
    const { output } = await run(["read", "-", "--json"], lines.map((line) => JSON.stringify(line)).join("\n"));
    expect(JSON.parse(output)).toMatchObject({
      largest_within: 16,
      smallest_beyond: 32,
      branches: [{ loss: expect.closeTo(1, 12) }, { diverged: true, loss: null, verdict: "beyond" }],
    });
    const csv = "batch_size,step,loss\n16,0,1\n16,1,1\n32,0,nan\n32,1,inf";
    expect((await run(["read", "-"], csv)).output).toMatch(/32 +diverged .*beyond/);
  });

  test("a tolerance and a window of one's own count", async () => {
    const content = losses({ 16: 0, 32: 0.03 });
    expect((await run(["read", "-", "--tolerance", "0.04"], content)).output).toMatch(/up to 32 is as good/);
    expect((await run(["read", "-", "--window", "1", "--json"], content)).output).toMatch(/"losses":400/);
  });

  test("refuses what it cannot read, and names line and field, with exit code 1", async () => {
    const { code, messages, output } = await run(
      ["read", "-"],
      "batch_size,step,loss\n16,0,1\n0,1,1\n16,1.5,1\n16,2,\n16,0,2\n16,3,one\n",
    );
    expect(code).toBe(1);
    expect(output).toBe("");
    expect(messages).toMatch(/line 3: batch_size: must be a number above 0, not "0"/);
    expect(messages).toMatch(/line 4: step: must be a whole number from 0, not "1\.5"/);
    expect(messages).toMatch(/line 5: loss: must be a number, or nan where the branch diverged, not ""/);
    expect(messages).toMatch(/line 6: step 0 of this batch size and seed stands there twice/);
    expect(messages).toMatch(/line 7: loss: must be a number/);
    const json = await run(["read", "-"], '{"batch_size": 16, "step": 0, "loss": 1}\n{"batch\n');
    expect(json.messages).toMatch(/line 2: batch_size: must be a number above 0, not "no JSON object"/);
  });

  test.each([
    ["batch_size,step\n16,0", /line 1: column loss is missing; the header is batch_size,step,loss\[,seed\]/],
    ["batch_size,step,loss\n", /holds no loss/],
    ["batch_size,step,loss\n16,0,1\n16,1,1", /At least two batch sizes are needed; there is one\./],
  ])("gives a sentence and exit code 1 for %j", async (content, message) => {
    const { code, messages } = await run(["read", "-"], content);
    expect(code).toBe(1);
    expect(messages).toMatch(message);
    expect((await run(["read", "/nowhere.csv"])).messages).toMatch(/There is no file \/nowhere\.csv\./);
  });
});

describe("wrong use", () => {
  test.each([
    [[], /say plan or read/],
    [["grow"], /say plan or read, not "grow"/],
    [["plan"], /plan needs --batch-size/],
    [["plan", "--batch-size", "0"], /--batch-size must be a number above 0, not "0"/],
    [["plan", "--batch-size", "8", "--optimizer", "lion"], /--optimizer must be adam or sgd/],
    [["plan", "--batch-size", "8", "--multiples", "1,,2"], /--multiples must be numbers above 0/],
    [["plan", "--batch-size", "8", "--multiples", "2"], /--multiples must be two or more/],
    [["plan", "--batch-size", "8", "--window", "1"], /--window does not go with plan/],
    [["read"], /name a FILE/],
    [["read", "a.csv", "--units", "3"], /--units does not go with read/],
    [["read", "a.csv", "--window", "2"], /--window must be a share of at most 1/],
    [["read", "a.csv", "--tolerance", "-1"], /--tolerance/],
    [["read", "--collector", "http://127.0.0.1:1"], /--collector and --group go together/],
    [["read", "--collector", "nowhere", "--group", "g"], /--collector must be an address/],
  ])("%j is exit code 2", async (argv, message) => {
    const { code, messages } = await run(argv);
    expect(code).toBe(2);
    expect(messages).toMatch(message);
  });

  test("a collector that does not answer is exit code 1", async () => {
    const { code, messages } = await run(["read", "--collector", "http://127.0.0.1:1", "--group", "g"]);
    expect(code).toBe(1);
    expect(messages).toMatch(/No collector answers at http:\/\/127\.0\.0\.1:1/);
  });
});
