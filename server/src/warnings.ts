import type { RunEvent, Snapshot, Unit } from "@noisescale/protocol";
import type { RunEstimate } from "@noisescale/statistics";

/** Events of one kind and code. */
export interface EventTotal {
  readonly kind: RunEvent["kind"];
  readonly code: string;
  readonly count: number;
}

type Warning = Snapshot["warnings"][number];

const count = (number: number, noun: string): string => `${number} ${noun}${number === 1 ? "" : "s"}`;
const rounded = (value: number): string => String(Number(value.toPrecision(3)));

const sentences = new Map<string, (events: number) => string>([
  [
    "batch-norm",
    () =>
      "The network has batch normalisation: its statistics tie the examples of a part together, so the measured noise is that of parts normalised on their own, not of the whole batch.",
  ],
  [
    "batch-too-small",
    (events) =>
      `${count(events, "step")} had a batch too small to be cut into the asked number of parts, and ${events === 1 ? "was" : "were"} not measured: lower the number of parts, or raise the batch size.`,
  ],
  [
    "not-finite",
    (events) =>
      `${count(events, "step")} had a gradient that is not finite, and ${events === 1 ? "was" : "were"} left out: look at the learning rate and the loss.`,
  ],
  [
    "hessian-same-batch",
    (events) =>
      `B_noise was not measured in ${count(events, "step")}: the batch before held the same examples, and a Hessian of the measured examples themselves would put it too low. A batch smaller than the data set gives other examples each step.`,
  ],
  [
    "hessian-not-repeatable",
    () =>
      "B_noise is not measured: the loss of the same examples is another one each time (dropout, noise), so its curvature cannot be read from differences. Measure without them, or leave hessianEvery out.",
  ],
  [
    "hessian-failed",
    (events) =>
      `The loss of the batch before could not be computed again in ${count(events, "step")}, so that B_noise was not measured there; everything else was.`,
  ],
  [
    "no-second-moments",
    () =>
      "The noise scale in the optimizer's metric is not measured: this optimizer keeps no second moments. Adam, Adamax, RMSProp and Adagrad do; leave preconditioned out.",
  ],
]);

/** What a reader of the numbers has to know, as sentences. */
export function warnings(estimate: RunEstimate, unit: Unit, events: readonly EventTotal[]): Warning[] {
  const found: Warning[] = [];
  if (estimate.invalid) {
    found.push({
      code: "invalid",
      message:
        "The two squared norms contradict each other: the large batch's gradient is smaller than noise alone would leave it, or larger than its parts'. Either gradients of an earlier step were not set to zero, or one of the norms was read at another place (scaled, clipped, or the mean of norms squared), or the parts are not independent draws. No noise scale is given.",
    });
  } else if (estimate.measurements > 0 && estimate.missingMeasurements > 0) {
    found.push({
      code: "too-few-measurements",
      message: `${count(estimate.measurements, "measurement")} so far: the first estimate comes after at least ${estimate.missingMeasurements} more.`,
    });
  } else if (estimate.measurements > 0 && !estimate.identifiable) {
    found.push({
      code: "not-identifiable",
      message:
        estimate.bSimpleLow === undefined
          ? "The signal cannot be told from zero yet, so the noise scale is not known."
          : `The signal cannot be told from zero yet: the noise scale is at least ${rounded(estimate.bSimpleLow)} ${unit}s, and has no upper bound.`,
    });
  }
  const { batchSize, basis } = estimate.recommendation;
  if (batchSize !== undefined && basis === "b_simple") {
    found.push({
      code: "uncalibrated",
      message:
        "Rests on B_simple alone, which was not compared with a measured frontier of this project: an indicator, which may be several times too high.",
    });
  } else if (batchSize === undefined && basis === "b_noise" && estimate.bNoise.value === undefined) {
    found.push({
      code: "b-noise-lost",
      message:
        "B_noise cannot be told from zero at the moment: a batch size is recommended once it can be again, or from B_simple if that lasts.",
    });
  } else if (batchSize !== undefined && basis === "b_noise") {
    found.push({
      code: "uncalibrated",
      message:
        "Rests on B_noise, which was not compared with a measured frontier of this project: an indicator. On MNIST it was up to twice too high.",
    });
  }
  if (estimate.recommendation.heldBack === "learning_rate") {
    found.push({
      code: "held-back",
      message:
        estimate.recommendation.batchSize === undefined
          ? "The learning rate over the batch size is being changed, and the noise scale moves with it: a batch size is recommended once that has settled."
          : "The learning rate over the batch size is being changed, and the noise scale moves with it: the recommended batch size stands as it stood before.",
    });
  }
  if (estimate.outliers > 0) {
    const were = estimate.outliers === 1 ? "was" : "were";
    found.push({
      code: "outliers",
      message: `${count(estimate.outliers, "measurement")} lay more than ten times as far off as any before, and ${were} left out of the headline, though not of the horizons: look at the loss and the gradients of those steps.`,
    });
  }
  for (const { kind, code, count: times } of events) {
    if (kind === "finished" || kind === "failed") continue;
    found.push({ code, message: sentences.get(code)?.(times) ?? eventSentence(kind, code, times) });
  }
  return found;
}

function eventSentence(kind: RunEvent["kind"], code: string, events: number): string {
  if (kind === "dropped") return `The hook left out ${count(events, "step")}: ${code}.`;
  if (kind === "unavailable") return `The hook could not measure: ${code}.`;
  return `The hook warns: ${code}.`;
}
