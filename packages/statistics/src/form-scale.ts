import { SignalFilter } from "./filter.ts";
import { inverseNoiseScaleOfFilter, noiseScaleOfFilter } from "./filter-noise-scale.ts";
import { startMeasurements } from "./filter-priors.ts";
import { Horizon } from "./horizon.ts";
import { MeasurementGaps } from "./measurement-gaps.ts";
import { unknownNoiseScale } from "./noise-scale.ts";
import type { InverseNoiseScale } from "./predicted-frontier.ts";
import type { StateReader, StateWriter } from "./state-bytes.ts";
import type { QuadraticFormKind, StepEstimates } from "./step-estimates.ts";

/** A noise scale tr(MΣ)/(GᵀMG) with its 95 % interval [units]. Unknown is undefined. */
export interface FormNoiseScale {
  readonly value: number | undefined;
  readonly low: number | undefined;
  readonly high: number | undefined;
}

export const unknownFormNoiseScale: FormNoiseScale = { value: undefined, low: undefined, high: undefined };

/** Effective number of measurements over which tr(MΣ) is told from 0; the filter's own mean of it spans about as many. */
const traceHorizon = 199;

/** One measurement of a form. */
export interface FormInput extends StepEstimates {
  readonly step: number;
  /** B [units]. */
  readonly batchSize: number;
  /** K = B/b. */
  readonly parts: number;
}

/**
 * The noise scale of a quadratic form gᵀMg in place of |g|²: the one-step estimates are then of GᵀMG and tr(MΣ), and a
 * `SignalFilter` of its own follows their ratio. M = H gives McCandlish et al. 2018, arXiv:1812.06162, equation 2.9.
 *
 * Where M is not positive (`signed`), tr(MΣ) may be 0 or negative too: nothing is reported unless the confidence sets of
 * both parts lie above 0, and the filter, which divides by tr(MΣ), begins again where its mean is not positive.
 */
export class FormScale {
  #trace: Horizon | undefined;
  #filter = new SignalFilter();
  #gaps: MeasurementGaps;
  #step: number | undefined;
  /** Measurements of the form since 𝓑 was known. */
  #unknownFor = Number.POSITIVE_INFINITY;
  /** 𝓑 after the form's last measurement, once it was asked for: the run's other measurements leave it. Not part of the state. */
  #measured: FormNoiseScale | undefined;

  /** @param before - measurements of the run that came before the first of this form */
  constructor(kind: QuadraticFormKind, before: number) {
    this.#trace = kind === "signed" ? new Horizon(traceHorizon) : undefined;
    this.#gaps = new MeasurementGaps(before);
  }

  /** A measurement of the run. @param input - undefined where it does not have this form */
  add(input: FormInput | undefined): void {
    this.#gaps.add(input !== undefined);
    if (input === undefined) return;
    this.#take(input);
    this.#measured = undefined;
    this.#unknownFor = this.noiseScale().value === undefined ? this.#unknownFor + 1 : 0;
  }

  /** 𝓑 now; unknown where the form's last measurement is too long ago, see `MeasurementGaps`. */
  noiseScale(): FormNoiseScale {
    if (!this.#gaps.current) return unknownFormNoiseScale;
    this.#measured ??= this.#measure();
    return this.#measured;
  }

  /**
   * 𝓑 of the plain average over 199 measurements of the form, known where `noiseScale` may be; of a signed form alone.
   * Under heavy tails one measurement moves the filter's whole interval for some hundred, and this one's less.
   */
  plain(): FormNoiseScale {
    if (!this.#gaps.current || !this.#traceAboveZero) return unknownFormNoiseScale;
    const { bSimple, bSimpleLow, bSimpleHigh, identifiable } = this.#trace?.noiseScale() ?? unknownNoiseScale;
    if (!identifiable) return unknownFormNoiseScale;
    return { value: bSimple, low: bSimpleLow, high: bSimpleHigh };
  }

  /** 1/𝓑 after the form's last measurement; undefined before the filter's start. */
  get inverse(): InverseNoiseScale | undefined {
    if (!this.#filter.started) return undefined;
    const inverse = inverseNoiseScaleOfFilter(this.#filter);
    // Where tr(MΣ) may be 0, 1/𝓑 has no bounds.
    return this.#traceAboveZero ? inverse : { ...inverse, low: 0, high: Number.POSITIVE_INFINITY };
  }

  /** 𝓑 was known within the form's last 20 measurements, and these are not too long ago. */
  get knownLately(): boolean {
    return this.#gaps.current && this.#unknownFor <= startMeasurements;
  }

  /** The form speaks of the whole run: see `MeasurementGaps`. */
  get wholeRun(): boolean {
    return this.#filter.started && this.#gaps.wholeRun;
  }

  write(writer: StateWriter): void {
    writer.number(this.#step ?? -1);
    writer.number(this.#unknownFor);
    this.#gaps.write(writer);
    this.#trace?.write(writer);
    this.#filter.write(writer);
  }

  static read(reader: StateReader, kind: QuadraticFormKind): FormScale {
    const scale = new FormScale(kind, 0);
    const step = reader.number();
    scale.#step = step < 0 ? undefined : step;
    scale.#unknownFor = reader.number();
    scale.#gaps = MeasurementGaps.read(reader);
    if (scale.#trace !== undefined) scale.#trace = Horizon.read(reader, traceHorizon);
    scale.#filter = SignalFilter.read(reader);
    return scale;
  }

  #take(input: FormInput): void {
    const { step, ...estimates } = input;
    const outliers = this.#filter.outliers;
    this.#filter.add({ ...estimates, steps: this.#step === undefined ? 1 : step - this.#step });
    this.#step = step;
    if (this.#trace === undefined || this.#filter.outliers > outliers) return;
    this.#trace.add(estimates.gradientSquaredNorm, estimates.covarianceTrace);
    if (this.#filter.started && (this.#trace.covarianceTrace ?? 0) <= 0) this.#filter = new SignalFilter();
  }

  #measure(): FormNoiseScale {
    if (!this.#traceAboveZero) return unknownFormNoiseScale;
    const { bSimple, bSimpleLow, bSimpleHigh, identifiable } = noiseScaleOfFilter(this.#filter);
    if (this.#trace !== undefined && !identifiable) return unknownFormNoiseScale;
    return { value: bSimple, low: bSimpleLow, high: bSimpleHigh };
  }

  get #traceAboveZero(): boolean {
    return this.#trace === undefined || (this.#trace.covarianceTraceInterval()?.low ?? 0) > 0;
  }
}
