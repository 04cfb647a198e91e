import { ConfigError, configFileName, readConfigFile } from "@noisescale/server";
import { type Command, CommandError, textOption, UsageError } from "./command.ts";

/** What came of one tracker. */
interface Finding {
  readonly tracker: string;
  readonly kind: string;
  readonly ok: boolean;
  /** What was tried, or what is wrong and what to change. */
  readonly message: string;
}

export const doctor: Command = {
  name: "doctor",
  summary: "tries each configured tracker with a real write",
  help: `Usage: noisescale doctor [--config FILE] [--json]

Writes a test run into each configured tracker and removes it again, and says of each that it works, or in a sentence what
is wrong. Nothing of anybody else is touched.

  --config FILE   the collector's configuration (${configFileName}, where there is one)
  --json          a list of {tracker, kind, ok, message}

Exit code 1 where a tracker does not work.`,
  options: { config: { type: "string" }, json: { type: "boolean" } },
  async run(arguments_, terminal) {
    const [unexpected] = arguments_.positionals;
    if (unexpected !== undefined) throw new UsageError(`unexpected ${JSON.stringify(unexpected)}`);
    const findings = await examine(textOption(arguments_, "config"));
    if (arguments_.values["json"] === true) terminal.output.write(`${JSON.stringify(findings)}\n`);
    else {
      for (const { tracker, kind, ok, message } of findings) {
        terminal.output.write(`${ok ? "works" : "FAILS"}  ${tracker} (${kind}): ${message}\n`);
      }
    }
    if (findings.length === 0) {
      terminal.messages.write(`No tracker is configured: name one under "trackers" in ${configFileName}.\n`);
    }
    const failed = findings.filter(({ ok }) => !ok).length;
    if (failed > 0) throw new CommandError(`${failed} of ${findings.length} trackers cannot be written to.`);
  },
};

/** One after the other: two trackers may be one server. */
async function examine(configFile: string | undefined): Promise<Finding[]> {
  const trackers = await openTrackers(configFile);
  const findings: Finding[] = [];
  for (const [name, { tracker }] of trackers) {
    const found = await tracker.selfTest().then(
      (message) => ({ ok: true, message }),
      (error: unknown) => ({ ok: false, message: error instanceof Error ? error.message : String(error) }),
    );
    findings.push({ tracker: name, kind: tracker.kind, ...found });
    await tracker.close();
  }
  return findings;
}

async function openTrackers(configFile: string | undefined) {
  try {
    return await readConfigFile(configFile).openTrackers();
  } catch (error) {
    if (error instanceof ConfigError || error instanceof RangeError) throw new CommandError(error.message);
    throw error;
  }
}
