import { describe, expect, test } from "vitest";
import { estimate } from "../src/estimate.ts";
import { prune } from "../src/prune.ts";
import { serve } from "../src/serve.ts";
import { commandLine } from "./command-line.ts";

const commands = [serve, estimate, prune];

describe("the command line", () => {
  test("lists its commands on --help, and answers 0", async () => {
    const { code, output } = await commandLine(["--help"], commands);
    expect(code).toBe(0);
    for (const { name, summary } of commands) expect(output).toContain(`${name.padEnd(8)}  ${summary}`);
  });

  test("prints its version", async () => {
    expect(await commandLine(["--version"], commands)).toEqual({ code: 0, output: "1.2.3\n", messages: "" });
  });

  test.each(commands.map(({ name }) => name))("explains %s on --help", async (name) => {
    const { code, output } = await commandLine([name, "--help"], commands);
    expect(code).toBe(0);
    expect(output).toContain(`Usage: noisescale ${name}`);
  });

  test.each([
    ["no command", []],
    ["an unknown command", ["estimte"]],
    ["an unknown option", ["estimate", "x", "--jsn"]],
    ["a port that is no number", ["serve", "--port", "eighty"]],
    ["a port out of range", ["serve", "--port", "70000"]],
    ["an age without a unit", ["prune", "--older-than", "30"]],
    ["no age", ["prune"]],
  ])("answers 2 and says what is wrong for %s, with nothing on standard output", async (_, argv) => {
    const { code, output, messages } = await commandLine(argv, commands);
    expect({ code, output }).toEqual({ code: 2, output: "" });
    expect(messages).toContain("Usage: noisescale");
  });

  test.each([
    [
      "names the options that there are for one that there is not",
      "--prot 1",
      "there is no option --prot; there are --host, --port",
    ],
    [
      "says how a value that starts with a dash is written",
      "--port -1",
      "--port needs a value; one that starts with a dash is written --port=-1",
    ],
    ["asks for the value of an option at the end", "--port", "--port needs a value\n"],
  ])("%s", async (_, argv, said) => {
    const { code, messages } = await commandLine(["serve", ...argv.split(" ")], commands);
    expect(code).toBe(2);
    expect(messages).toContain(`noisescale serve: ${said}`);
  });
});
