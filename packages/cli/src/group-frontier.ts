import {
  type CalibrationAnswer,
  calibrationSchema,
  type GroupFrontierAnswer,
  groupFrontierSchema,
  problemSchema,
} from "@noisescale/protocol";
import { type CommandArguments, CommandError, textOption, UsageError } from "./command.ts";

const timeoutMs = 120_000;

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
  const collector = textOption(arguments_, "collector");
  const group = textOption(arguments_, "group");
  const project = textOption(arguments_, "project");
  const targets = (textOption(arguments_, "target") ?? "").split(",").filter((target) => target.trim() !== "");
  const calibrates = arguments_.values["calibrate"] === true;
  if (collector === undefined) {
    if (group === undefined && project === undefined && !calibrates) return undefined;
    throw new UsageError("--group, --project and --calibrate ask a collector: name it with --collector");
  }
  if (!URL.canParse(collector)) {
    throw new UsageError(
      `--collector must be an address such as http://127.0.0.1:7677, not ${JSON.stringify(collector)}`,
    );
  }
  if (group === undefined) throw new UsageError("--collector needs --group");
  if (targets.length === 0) throw new UsageError('--collector needs --target, such as "validation_loss<=0.3"');
  if (calibrates && targets.length > 1) throw new UsageError("--calibrate takes one --target");
  return { collector: collector.replace(/\/+$/, ""), group, project, targets, calibrates };
}

/** Asks for each target's frontier. @throws CommandError where the collector does not answer, or refuses the group itself */
export async function askGroupFrontiers(request: GroupFrontierRequest): Promise<readonly TargetAnswer[]> {
  const answers: TargetAnswer[] = [];
  for (const target of request.targets) {
    const query = new URLSearchParams({
      target,
      ...(request.project === undefined ? {} : { project: request.project }),
    });
    const path = `/v1/groups/${encodeURIComponent(request.group)}/frontier?${query}`;
    const { status, body, text } = await ask(request.collector, path);
    if (status === 200) answers.push({ target, answer: parsed(groupFrontierSchema, body, request.collector) });
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
  const { status, body, text } = await ask(collector, `/v1/projects/${encodeURIComponent(project)}/calibration`, {
    method: "PUT",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ group, target }),
  });
  if (status !== 200) throw new CommandError(`The calibration cannot be made. ${problemText(body, text)}`);
  return parsed(calibrationSchema, body, collector);
}

interface CollectorAnswer {
  readonly status: number;
  readonly body: unknown;
  readonly text: string;
}

async function ask(collector: string, path: string, init: RequestInit = {}): Promise<CollectorAnswer> {
  let response: Response;
  let text: string;
  try {
    response = await fetch(collector + path, { ...init, redirect: "error", signal: AbortSignal.timeout(timeoutMs) });
    text = await response.text();
  } catch (error) {
    const { cause, message } = error as Error;
    const why = cause instanceof Error && cause.message !== "" ? cause.message : message;
    throw new CommandError(`No collector answers at ${collector} (${why}): start one with noisescale serve.`);
  }
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    body = undefined;
  }
  return { status: response.status, body, text };
}

function parsed<Answer>(
  schema: { safeParse(value: unknown): { readonly success: boolean; readonly data?: Answer } },
  body: unknown,
  collector: string,
): Answer {
  const { data } = schema.safeParse(body);
  if (data === undefined) throw new CommandError(`${collector} answers as another version of noisescale does.`);
  return data;
}

function problemText(body: unknown, text: string): string {
  const problem = problemSchema.safeParse(body);
  if (!problem.success) return text.slice(0, 200);
  const { detail, errors = [] } = problem.data;
  return [detail, ...errors.map(({ path, message }) => `\n  ${path} ${message}`)].join("");
}
