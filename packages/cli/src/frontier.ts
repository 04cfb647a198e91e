import { writeFile } from "node:fs/promises";
import { basename } from "node:path";
import { panelsOfSweep, type SweepData, sweepTarget } from "@noisescale/charts";
import { drawsPictures } from "@noisescale/charts/draws-pictures";
import { type Unit, unitSchema } from "@noisescale/protocol";
import { criticalBatchSizePowerLaw } from "@noisescale/statistics";
import { type Command, type CommandArguments, CommandError, type Terminal, textOption, UsageError } from "./command.ts";
import { type FrontierFits, fitTargets, frontierJson } from "./frontier-fits.ts";
import { showFrontier } from "./frontier-report.ts";
import { calibrationText, frontierText, groupText } from "./frontier-text.ts";
import {
  askGroupFrontiers,
  type GroupFrontierRequest,
  groupFrontierRequest,
  makeCalibration,
} from "./group-frontier.ts";
import { readSweepFile } from "./sweep-file.ts";
import { metricTargets, openSweep, openTracker, readTrackedSweep } from "./tracker-sweep.ts";

export const frontier: Command = {
  name: "frontier",
  summary: "critical batch size from a sweep over batch sizes",
  help: `Usage: noisescale frontier FILE [--json] [--html FILE] [--png FILE] [--loss-png FILE] [--unit UNIT]
       noisescale frontier --tracker NAME --experiment EXPERIMENT --target METRIC<=VALUE [the same]
       noisescale frontier --collector URL --group NAME --target TARGET[,TARGET…] [--project NAME] [--calibrate]

Fits steps = S_min·(1 + B_crit/batch size) to each target of a sweep. FILE is CSV, or - for standard input:

  batch_size,steps,target[,run,learning_rate,seed]

A line says after how many steps a run reached a target, such as a loss; steps are empty where it never did. Of several
learning rates the one with the least median of steps counts at each batch size. At least three batch sizes are needed;
three seeds of each give the better intervals.

With --tracker the runs are those of an experiment that a tracker holds already, no hook needed; their steps must be optimizer
steps. What was fitted is shown there as a run of its own, which is used again the next time.

  --tracker NAME              a tracker of the collector's configuration, or mlflow with MLFLOW_TRACKING_URI set
  --experiment EXPERIMENT     its name
  --target METRIC<=VALUE      or >=, or = for whichever side the runs start from; several with commas
  --batch-param PARAM         parameter that holds the batch size (batch_size)
  --learning-rate-param PARAM parameter that holds the learning rate (learning_rate)
  --config FILE               the collector's configuration (noisescale.config.json, where there is one)
  --no-show                   leave the tracker as it is

With --collector, it fits the runs of a group to the step at which each first met TARGET: "name<=value" of an evaluation
that they report, or "name>=value" for an accuracy; "loss<=value" is the smoothed training loss where none evaluates a loss.
The collector keeps the frontier: the group's recommendations rest on it while their loss is near.

  --collector URL             its address
  --group NAME                as the runs declare it
  --target TARGET             one, or several with commas
  --project NAME              where several projects have a group by this name
  --calibrate                 also make the project's calibration, B_crit/B_simple, from this frontier: its runs'
                              recommendations rest on it wherever no frontier is near

  --json            one JSON object, in place of the table
  --html FILE       a page with the panels: frontiers, and critical batch size against loss
  --png FILE        a picture of the frontiers
  --loss-png FILE   a picture of the critical batch size against loss, of two targets or more
  --unit UNIT       what a batch size counts, for the words: example (default), token, timestep

Exit code 1 where a target cannot be fitted; the others are still answered.`,
  options: {
    json: { type: "boolean" },
    html: { type: "string" },
    png: { type: "string" },
    "loss-png": { type: "string" },
    unit: { type: "string" },
    tracker: { type: "string" },
    experiment: { type: "string" },
    target: { type: "string" },
    "batch-param": { type: "string" },
    "learning-rate-param": { type: "string" },
    config: { type: "string" },
    "no-show": { type: "boolean" },
    collector: { type: "string" },
    group: { type: "string" },
    project: { type: "string" },
    calibrate: { type: "boolean" },
  },
  async run(arguments_, terminal) {
    const [file, unexpected] = arguments_.positionals;
    const tracker = textOption(arguments_, "tracker");
    const request = groupFrontierRequest(arguments_);
    if (request !== undefined) {
      if (file !== undefined || tracker !== undefined)
        throw new UsageError("name a FILE, a --tracker or a --collector");
      return showGroup(request, arguments_, terminal);
    }
    if (unexpected !== undefined) throw new UsageError(`unexpected ${JSON.stringify(unexpected)}`);
    if ((file === undefined) === (tracker === undefined)) {
      throw new UsageError("name a FILE (or - for standard input), a --tracker or a --collector");
    }
    if (file !== undefined) {
      const foreign = forTracker.find((name) => arguments_.values[name] !== undefined);
      if (foreign !== undefined) throw new UsageError(`--${foreign} does not go with a FILE, which holds its targets`);
    }
    const unit = unitOption(arguments_);
    const answer = async (found: FrontierFits, name: string): Promise<SweepData | undefined> => {
      if (found.fits.length === 0) return undefined;
      const json = arguments_.values["json"] === true;
      terminal.output.write(json ? `${JSON.stringify(frontierJson(found))}\n` : frontierText(found, unit));
      const data = { name, unit, targets: found.fits, powerLaw: found.powerLaw };
      await writePanels(data, arguments_);
      return data;
    };
    const found =
      file === undefined
        ? await fitTracked(tracker ?? "", arguments_, terminal, answer)
        : fitTargets(await readSweepFile(file, terminal));
    if (file !== undefined) await answer(found, file === "-" ? "standard input" : basename(file));
    if (found.unfitted.length > 0) {
      throw new CommandError(
        found.unfitted.map(({ target, reason }) => `target ${target} cannot be fitted. ${reason}`).join("\n  "),
      );
    }
  },
};

/** What only a tracker's runs need said. */
const forTracker = ["experiment", "target", "batch-param", "learning-rate-param", "config", "no-show"];

/** Fits a tracker's runs, answers, and shows the frontier in the tracker. */
async function fitTracked(
  trackerName: string,
  arguments_: CommandArguments,
  terminal: Terminal,
  answer: (found: FrontierFits, name: string) => Promise<SweepData | undefined>,
): Promise<FrontierFits> {
  const needed = (option: string): string => {
    const value = textOption(arguments_, option);
    if (value === undefined) throw new UsageError(`--tracker needs --${option}`);
    return value;
  };
  const experiment = needed("experiment");
  const target = needed("target");
  const targets = metricTargets(target);
  const params = {
    batchSize: textOption(arguments_, "batch-param") ?? "batch_size",
    learningRate: textOption(arguments_, "learning-rate-param") ?? "learning_rate",
  };
  const tracker = await openTracker(trackerName, textOption(arguments_, "config"));
  try {
    const sweep = openSweep(tracker, experiment);
    const { rows, leftOut } = await readTrackedSweep(sweep, experiment, targets, params);
    for (const line of leftOut) terminal.messages.write(`Left out: ${line}\n`);
    const found = fitTargets(rows);
    const data = await answer(found, experiment);
    if (data !== undefined && arguments_.values["no-show"] !== true) {
      const { picturePixelRatio } = tracker.capabilities;
      terminal.messages.write(`Shown at ${await showFrontier(sweep, target, data, picturePixelRatio)}\n`);
    }
    return found;
  } catch (error) {
    if (error instanceof Error && error.name === "TrackerError") throw new CommandError(error.message);
    throw error;
  } finally {
    await tracker.close();
  }
}

/** Asks a collector for the frontiers of a group, and shows them. */
async function showGroup(
  request: GroupFrontierRequest,
  arguments_: CommandArguments,
  terminal: Terminal,
): Promise<void> {
  if (arguments_.values["unit"] !== undefined) throw new UsageError("--unit is the runs' own with --collector");
  const answers = await askGroupFrontiers(request);
  const fitted = answers.filter((one) => "answer" in one).map(({ answer }) => answer);
  const [first] = fitted;
  if (first !== undefined) {
    const fits = fitted.map(({ frontier: numbers }) => sweepTarget(numbers));
    const powerLaw = criticalBatchSizePowerLaw(
      fits.map(({ target, criticalBatchSize }) => ({ loss: target, criticalBatchSize })),
    );
    const calibration = request.calibrates ? await makeCalibration(request, first) : undefined;
    const json = arguments_.values["json"] === true;
    terminal.output.write(
      json
        ? `${JSON.stringify({ ...frontierJson({ fits, unfitted: [], powerLaw }), groups: fitted, ...(calibration && { calibration }) })}\n`
        : [
            frontierText({ fits, unfitted: [], powerLaw }, first.unit),
            ...fitted.map(groupText),
            ...(calibration === undefined ? [] : [calibrationText(calibration)]),
          ].join("\n"),
    );
    await writePanels({ name: `group ${request.group}`, unit: first.unit, targets: fits, powerLaw }, arguments_);
  }
  const reasons = answers.flatMap((one) => ("reason" in one ? [one.reason] : []));
  if (reasons.length > 0) throw new CommandError(reasons.join("\n  "));
}

/** Only where a picture is wanted is what draws it loaded. */
async function writePanels(data: SweepData, arguments_: CommandArguments): Promise<void> {
  const html = textOption(arguments_, "html");
  if (html !== undefined) {
    const { renderSweepHtml } = await import("@noisescale/charts/html");
    await write(html, renderSweepHtml(data));
  }
  for (const [option, panel] of [
    ["png", "sweep-frontier"],
    ["loss-png", "critical-batch-size"],
  ] as const) {
    const file = textOption(arguments_, option);
    if (file === undefined) continue;
    if (!panelsOfSweep(data).includes(panel)) {
      throw new CommandError(`--${option} needs two targets that can be fitted; ${file} is not written.`);
    }
    if (!drawsPictures) {
      throw new CommandError(
        `--${option}: the command as pip installs it draws no pictures: take --html, or run it from a checkout.`,
      );
    }
    const { renderSweepPng } = await import("@noisescale/charts/png");
    await write(file, renderSweepPng(panel, data));
  }
}

async function write(file: string, content: string | Uint8Array): Promise<void> {
  try {
    await writeFile(file, content);
  } catch (error) {
    throw new CommandError(`${file} cannot be written: ${(error as Error).message}`);
  }
}

function unitOption(arguments_: CommandArguments): Unit {
  const unit = textOption(arguments_, "unit") ?? "example";
  const parsed = unitSchema.safeParse(unit);
  if (!parsed.success) throw new UsageError(`--unit must be example, token or timestep, not ${JSON.stringify(unit)}`);
  return parsed.data;
}
