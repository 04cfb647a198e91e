import {
  type CalibrationAnswer,
  calibrationSchema,
  type GroupFrontierAnswer,
  groupFrontierSchema,
} from "@noisescale/protocol";
import { askCollector, collectorOption, parsedAnswer, problemText } from "./ask-collector.ts";
import { type CommandArguments, CommandError, textOption, UsageError } from "./command.ts";

/** What is asked of a collector. */
export interface GroupFrontierRequest {
  readonly collector: string;
  readonly group: string;
  readonly project: string | undefined;
  readonly targets: readonly string[];
  readonly calibrates: boolean;
}

/** One target's answer: a frontier, or the collector's sentence on why there is none. */
export type TargetAnswer =
  | { readonly target: string; readonly answer: GroupFrontierAnswer }
  | { readonly target: string; readonly reason: string };

/** The options that ask a collector in place of reading a file; undefined where none of them is there. */
export function groupFrontierRequest(arguments_: CommandArguments): GroupFrontierRequest | undefined {
  const collector = collectorOption(arguments_);
  const group = textOption(arguments_, "group");
  const project = textOption(arguments_, "project");
  const targets = (textOption(arguments_, "target") ?? "").split(",").filter((target) => target.trim() !== "");
  const calibrates = arguments_.values["calibrate"] === true;
  if (collector === undefined) {
    if (group === undefined && project === undefined && !calibrates) return undefined;
    throw new UsageError("--group, --project and --calibrate ask a collector: name it with --collector");
  }
  if (group === undefined) throw new UsageError("--collector needs --group");
  if (targets.length === 0) throw new UsageError('--collector needs --target, such as "validation_loss<=0.3"');
  if (calibrates && targets.length > 1) throw new UsageError("--calibrate takes one --target");
  return { collector, group, project, targets, calibrates };
}

/** Has each target's frontier fitted and kept. @throws CommandError where the collector does not answer, or refuses the group itself */
export async function askGroupFrontiers(request: GroupFrontierRequest): Promise<readonly TargetAnswer[]> {
  const answers: TargetAnswer[] = [];
  for (const target of request.targets) {
    const query = new URLSearchParams({
      target,
      ...(request.project === undefined ? {} : { project: request.project }),
    });
    const path = `/v1/groups/${encodeURIComponent(request.group)}/frontier?${query}`;
    const { status, body, text } = await askCollector(request.collector, path, { method: "PUT" });
    if (status === 200) answers.push({ target, answer: parsedAnswer(groupFrontierSchema, body, request.collector) });
    else if (status === 422) answers.push({ target, reason: problemText(body, text) });
    else throw new CommandError(`${request.collector} answered ${status}: ${problemText(body, text)}`);
  }
  return answers;
}

/** Makes the calibration of a project. @throws CommandError where it cannot be made */
export async function makeCalibration(
  { collector, group }: GroupFrontierRequest,
  { project, target }: GroupFrontierAnswer,
): Promise<CalibrationAnswer> {
  const { status, body, text } = await askCollector(
    collector,
    `/v1/projects/${encodeURIComponent(project)}/calibration`,
    {
      method: "PUT",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ group, target }),
    },
  );
  if (status !== 200) throw new CommandError(`The calibration cannot be made. ${problemText(body, text)}`);
  return parsedAnswer(calibrationSchema, body, collector);
}
