import { type BatchSizeRange, type RecommendedRange, steadyHorizon } from "./batch-size-decision.ts";
import { efficiency } from "./critical-batch-size.ts";
import { SignalFilter } from "./filter.ts";
import { inverseNoiseScaleOfFilter, noiseScaleOfFilter } from "./filter-noise-scale.ts";
import { type FormInput, type FormNoiseScale, FormScale, unknownFormNoiseScale } from "./form-scale.ts";
import { HeldEvidence } from "./held-evidence.ts";
import { Horizon } from "./horizon.ts";
import { type LayerEstimate, LayerScales, type LayerSquaredNorms } from "./layer-scales.ts";
import type { MeasuredFrontiers } from "./measured-frontiers.ts";
import type { NoiseScale } from "./noise-scale.ts";
import type { SquaredNormPair } from "./one-step.ts";
import type { PredictedFrontier } from "./predicted-frontier.ts";
import { type Recommendation, recommendation, recommendedBatchSize } from "./recommendation.ts";
import { type CriticalBatchSize, recommendationBasis } from "./recommendation-basis.ts";
import { RunFrontier } from "./run-frontier.ts";
import { type RunSettings, requireRunSettings } from "./run-settings.ts";
import { type SettingChange, SettingChanges } from "./setting-change.ts";
import { StateReader, StateVersionError, StateWriter } from "./state-bytes.ts";
import { formEstimates, type QuadraticFormKind, type QuadraticFormPair, stepEstimates } from "./step-estimates.ts";
import { TemperatureWatch } from "./temperature.ts";

/** One optimizer step as the estimators read it. */
export interface Observation extends SquaredNormPair {
  /** Optimizer step, ≥ 0; each later than the one before. */
  readonly step: number;
  /** Units that this step consumed: the real batch size. */
  readonly units: number;
  /** ≥ 0; undefined where the hook does not report it. */
  readonly learningRate?: number | undefined;
  readonly layers?: ReadonlyMap<string, LayerSquaredNorms> | undefined;
  /** gᵀHg, H the loss's Hessian of examples that the gradients do not share. */
  readonly hessian?: QuadraticFormPair | undefined;
  /** gᵀPg, P = 1/(√v̂ + ε) of the optimizer before the step's update. */
  readonly preconditioned?: QuadraticFormPair | undefined;
  /** Mean training loss over the batch. */
  readonly loss?: number | undefined;
}

/** Noise scales of other quadratic forms than |g|². */
interface FormNoiseScales {
  /** B_noise = tr(HΣ)/(GᵀHG). */
  readonly bNoise: FormNoiseScale;
  /** tr(PΣ)/(GᵀPG): in the optimizer's metric. */
  readonly bPreconditioned: FormNoiseScale;
}

/** What is known right after one measurement. */
export interface RunPoint extends NoiseScale, FormNoiseScales {
  readonly step: number;
  /** Units of the step. */
  readonly batchSize: number;
  /** Predicted from the run so far [units]. */
  readonly criticalBatchSize: number | undefined;
  /** From the run alone, as is the efficiency: measured frontiers are no part of a run's state. */
  readonly recommendedBatchSize: number | undefined;
  /** Useful share of the compute at this batch size. */
  readonly efficiency: number | undefined;
  /** The temperature is being changed: the recommendation stands as it stood. */
  readonly heldBack: "learning_rate" | undefined;
  /** A step of learning rate or batch size that this measurement has made known, some measurements after it. */
  readonly settingChange: SettingChange | undefined;
  /** B_simple as the recommendation holds it. */
  readonly heldBSimple: number | undefined;
  /** Training loss, smoothed over a fixed share of the run; a change of less than a fortieth does not show. */
  readonly smoothedLoss: number | undefined;
}

export interface HorizonEstimate extends NoiseScale {
  readonly horizon: number;
  readonly effectiveMeasurements: number;
}

/** Everything that is known of a run. */
export interface RunEstimate extends NoiseScale, FormNoiseScales {
  /** Undefined before the first measurement, as is `batchSize`. */
  readonly step: number | undefined;
  readonly batchSize: number | undefined;
  /** Of the settings. */
  readonly optimizer: RunSettings["optimizer"];
  readonly measurements: number;
  /** Measurements until the headline can say something; 0 once it does. */
  readonly missingMeasurements: number;
  /** Measurements that the headline leaves out: far beyond all before them. The horizons hold them. */
  readonly outliers: number;
  readonly efficiency: number | undefined;
  readonly horizons: readonly HorizonEstimate[];
  readonly layers: ReadonlyMap<string, LayerEstimate>;
  readonly predicted: PredictedFrontier;
  readonly recommendation: Recommendation;
}

/** Effective numbers of measurements of the plain averages. */
export const horizonLengths: readonly number[] = [25, 50, 100, 200, 400, 800, 1600];

const none = -1;

type FormName = "hessian" | "preconditioned";
const formKinds: Readonly<Record<FormName, QuadraticFormKind>> = { hessian: "signed", preconditioned: "positive" };
const formNames: readonly FormName[] = ["hessian", "preconditioned"];

/** The statistics of one run, online: O(1) time and memory a measurement, the same bits from the same measurements. */
export class RunEstimator {
  /** Of the serialised state: bytes of another version are refused, and the measurements folded again. */
  static readonly stateVersion = 15;

  readonly #settings: RunSettings;
  #filter = new SignalFilter();
  #horizons = horizonLengths.map((length) => new Horizon(length));
  #layers = new LayerScales();
  /** Only those that were measured. */
  readonly #forms = new Map<FormName, FormScale>();
  #frontier = new RunFrontier("b_simple");
  #noiseFrontier = new RunFrontier("b_noise");
  #measurements = 0;
  #step = none;
  #units = none;
  #held = new HeldEvidence();
  #temperature: TemperatureWatch;
  #settingChanges = new SettingChanges();

  /** @throws RangeError on settings that are not positive, or limits that cross */
  constructor(settings: RunSettings) {
    requireRunSettings(settings);
    this.#settings = settings;
    this.#temperature = new TemperatureWatch(settings.optimizer);
  }

  /**
   * A measurement that is refused changes nothing.
   *
   * @throws RangeError on a step that is not later, b ≥ B, units, a learning rate or a squared norm that is negative or not finite
   */
  add(observation: Observation): RunPoint {
    this.#require(observation);
    const { datasetUnits } = this.#settings;
    const { gradientSquaredNorm, covarianceTrace } = stepEstimates(observation, datasetUnits);
    const formInputs = formNames.map((name) => [name, formInput(name, observation, datasetUnits)] as const);
    if (observation.layers !== undefined) this.#layers.add(observation.layers, observation, datasetUnits);
    for (const horizon of this.#horizons) horizon.add(gradientSquaredNorm, covarianceTrace);
    const steps = this.#step === none ? 1 : observation.step - this.#step;
    this.#filter.add({
      covarianceTrace,
      gradientSquaredNorm,
      batchSize: observation.big.batchSize,
      parts: observation.big.batchSize / observation.small.batchSize,
      steps,
    });
    for (const [name, input] of formInputs) this.#addForm(name, input);
    this.#measurements += 1;
    this.#step = observation.step;
    this.#units = observation.units;
    this.#predict(steps, observation);
    const { units: batchSize, learningRate } = observation;
    if (learningRate !== undefined) this.#temperature.add(learningRate, batchSize);
    const settingChange = this.#settingChanges.add({ step: observation.step, learningRate, batchSize });
    const headline = noiseScaleOfFilter(this.#filter);
    const heldBack = this.#heldBack;
    const forms = this.#formNoiseScales();
    if (heldBack === undefined) this.#held.hold(bSimpleOf(headline), forms.bNoise);
    if (observation.loss !== undefined) this.#held.addLoss(observation.step, observation.loss);
    const basis = this.#basis(headline, forms, {});
    return {
      ...headline,
      step: observation.step,
      batchSize,
      ...forms,
      criticalBatchSize: this.#predicting.criticalBatchSize,
      recommendedBatchSize: basis.held === undefined ? undefined : recommendedBatchSize(basis.held, this.#settings),
      efficiency: this.#efficiency(basis),
      heldBSimple: this.#held.bSimple,
      smoothedLoss: this.#held.smoothedLoss,
      heldBack,
      settingChange,
    };
  }

  /** @param measured - what sweeps say of the run's project and group */
  estimate(measured: MeasuredFrontiers = {}): RunEstimate {
    const headline = noiseScaleOfFilter(this.#filter);
    const forms = this.#formNoiseScales();
    const basis = this.#basis(headline, forms, measured);
    const known = this.#measurements > 0;
    return {
      ...headline,
      step: known ? this.#step : undefined,
      batchSize: known ? this.#units : undefined,
      optimizer: this.#settings.optimizer,
      measurements: this.#measurements,
      missingMeasurements: this.#filter.missing,
      outliers: this.#filter.outliers,
      efficiency: this.#efficiency(basis),
      ...forms,
      horizons: this.#horizons.map((horizon) => ({
        ...horizon.noiseScale(),
        horizon: horizon.horizon,
        effectiveMeasurements: horizon.effectiveMeasurements,
      })),
      layers: this.#layers.estimate(),
      predicted: this.#predicting.estimate(),
      recommendation: recommendation(basis, this.#units, this.#settings, this.#heldBack),
    };
  }

  /** The plain average over one of `horizonLengths`. @throws RangeError where it is none of them */
  plain(horizon: number): NoiseScale {
    const found = this.#horizons.find((candidate) => candidate.horizon === horizon);
    if (found === undefined)
      throw new RangeError(`horizon must be one of ${horizonLengths.join(", ")}, not ${horizon}`);
    return found.noiseScale();
  }

  /**
   * The recommendation's interval after the last measurement, as a decision on the batch size needs it.
   *
   * @param point - what `add` answered last
   * @param measured - what sweeps say of the run's project and group
   */
  recommendedRange(point: RunPoint, measured: MeasuredFrontiers = {}): RecommendedRange {
    const basis = this.#basis(point, point, measured);
    return {
      ...this.#rangeOf(basis),
      uncalibrated: basis.basis === "b_simple",
      plain: () => this.#rangeOf(this.#basis(this.plain(steadyHorizon), this.#plainForms, measured)),
    };
  }

  serialize(): Uint8Array {
    const writer = new StateWriter();
    writer.number(RunEstimator.stateVersion);
    writer.number(this.#measurements);
    writer.number(this.#step);
    writer.number(this.#units);
    this.#held.write(writer);
    this.#filter.write(writer);
    for (const horizon of this.#horizons) horizon.write(writer);
    this.#frontier.write(writer);
    this.#noiseFrontier.write(writer);
    for (const name of formNames) {
      const form = this.#forms.get(name);
      writer.number(form === undefined ? 0 : 1);
      form?.write(writer);
    }
    this.#temperature.write(writer);
    this.#settingChanges.write(writer);
    this.#layers.write(writer);
    return writer.bytes();
  }

  /** @throws StateVersionError where the bytes are of another version */
  static deserialize(bytes: Uint8Array, settings: RunSettings): RunEstimator {
    const reader = new StateReader(bytes);
    const version = reader.number();
    if (version !== RunEstimator.stateVersion) {
      throw new StateVersionError(`state version ${version} is not ${RunEstimator.stateVersion}: fold the run again`);
    }
    const estimator = new RunEstimator(settings);
    estimator.#measurements = reader.number();
    estimator.#step = reader.number();
    estimator.#units = reader.number();
    estimator.#held = HeldEvidence.read(reader);
    estimator.#filter = SignalFilter.read(reader);
    estimator.#horizons = horizonLengths.map((length) => Horizon.read(reader, length));
    estimator.#frontier = RunFrontier.read(reader, "b_simple");
    estimator.#noiseFrontier = RunFrontier.read(reader, "b_noise");
    for (const name of formNames) {
      if (reader.number() === 1) estimator.#forms.set(name, FormScale.read(reader, formKinds[name]));
    }
    estimator.#temperature = TemperatureWatch.read(reader, settings.optimizer);
    estimator.#settingChanges = SettingChanges.read(reader);
    estimator.#layers = LayerScales.read(reader);
    return estimator;
  }

  get #heldBack(): "learning_rate" | undefined {
    return this.#temperature.changing ? "learning_rate" : undefined;
  }

  #require({ step, units, learningRate = 0, loss }: Observation): void {
    if (!(Number.isSafeInteger(step) && step > this.#step)) {
      throw new RangeError(`step must be a whole number above ${this.#step}, not ${step}`);
    }
    if (!(units > 0 && Number.isFinite(units * units))) {
      throw new RangeError(`units must be positive, with a finite square, not ${units}`);
    }
    if (!(learningRate >= 0 && Number.isFinite(learningRate * learningRate))) {
      throw new RangeError(`learningRate must not be negative, with a finite square, not ${learningRate}`);
    }
    if (loss !== undefined && !Number.isFinite(loss)) throw new RangeError(`loss must be finite, not ${loss}`);
  }

  #addForm(name: FormName, input: FormInput | undefined): void {
    let form = this.#forms.get(name);
    if (form === undefined) {
      if (input === undefined) return;
      form = new FormScale(formKinds[name], this.#measurements);
      this.#forms.set(name, form);
    }
    form.add(input);
  }

  /** Adds the steps since the last measurement to the frontiers; those before a filter's start count at its first value. */
  #predict(steps: number, { units, hessian }: Observation): void {
    this.#frontier.wait(steps, units);
    if (this.#filter.started) this.#frontier.count(inverseNoiseScaleOfFilter(this.#filter));
    this.#noiseFrontier.wait(steps, units);
    const inverse = hessian === undefined ? undefined : this.#forms.get("hessian")?.inverse;
    if (inverse !== undefined) this.#noiseFrontier.count(inverse);
  }

  /**
   * B_noise's where that speaks of the whole run and has bounds on both sides, else B_simple's: one frontier's sums are never
   * made of both.
   */
  get #predicting(): RunFrontier {
    const byNoise = this.#forms.get("hessian")?.wholeRun === true && this.#noiseFrontier.bounded;
    return byNoise ? this.#noiseFrontier : this.#frontier;
  }

  #formNoiseScales(): FormNoiseScales {
    return {
      bNoise: this.#forms.get("hessian")?.noiseScale() ?? unknownFormNoiseScale,
      bPreconditioned: this.#forms.get("preconditioned")?.noiseScale() ?? unknownFormNoiseScale,
    };
  }

  get #plainForms(): Pick<FormNoiseScales, "bNoise"> {
    return { bNoise: this.#forms.get("hessian")?.plain() ?? unknownFormNoiseScale };
  }

  #basis(
    headline: NoiseScale,
    { bNoise }: Pick<FormNoiseScales, "bNoise">,
    measured: MeasuredFrontiers,
  ): CriticalBatchSize {
    return recommendationBasis(
      {
        bSimple: bSimpleOf(headline),
        bNoise,
        heldBSimple: this.#held.bSimple,
        heldBNoise: this.#held.bNoise,
        bNoiseKnownLately: this.#forms.get("hessian")?.knownLately === true,
        smoothedLoss: this.#held.smoothedLoss,
      },
      measured,
    );
  }

  #rangeOf({ low, high }: CriticalBatchSize): BatchSizeRange {
    const at = (criticalBatchSize: number | undefined): number | undefined =>
      criticalBatchSize === undefined ? undefined : recommendedBatchSize(criticalBatchSize, this.#settings);
    return { low: at(low), high: at(high) };
  }

  #efficiency({ value }: CriticalBatchSize): number | undefined {
    return value === undefined ? undefined : efficiency(this.#units, value);
  }
}

/** @throws RangeError as `formEstimates` */
function formInput(
  name: FormName,
  { step, [name]: form }: Observation,
  datasetUnits: number | undefined,
): FormInput | undefined {
  if (form === undefined) return undefined;
  return {
    ...formEstimates(form, formKinds[name], datasetUnits, name),
    step,
    batchSize: form.big.batchSize,
    parts: form.big.batchSize / form.small.batchSize,
  };
}

function bSimpleOf({ bSimple: value, bSimpleLow: low, bSimpleHigh: high }: NoiseScale): FormNoiseScale {
  return { value, low, high };
}
