import { Dwell } from "./dwell.ts";
import type { NoiseScale } from "./noise-scale.ts";
import type { StateReader, StateWriter } from "./state-bytes.ts";

/** A noise scale with the ends of its interval [units]. */
export interface NoiseScaleInterval {
  readonly bSimple: number;
  readonly bSimpleLow: number;
  readonly bSimpleHigh: number;
}

/**
 * Measurements of the plain average that has to agree. Chosen on `test/bench/signal-loss.ts`: with 200 a signal that stays is
 * called lost under heavy tails more often, with 800 a real loss is told later.
 */
export const signalHorizon = 400;

/** A signal at the edge of what can be seen comes and goes: it counts as found, and as lost, after this many dwell times. */
const dwells = 5;

/** Whether a signal that was identifiable no longer is. One that never was is not lost. */
export class SignalLoss {
  /** 0: not found, or lost; 1: found. */
  #dwell = new Dwell();
  #last: NoiseScaleInterval | undefined;

  /** What was known when it was last identifiable. */
  get last(): NoiseScaleInterval | undefined {
    return this.#last;
  }

  /**
   * @param plain - the plain average of the last measurements, asked for only where the signal looks lost: a single large error
   * may move the filter for some hundred measurements
   * @returns what the measurement has made of the signal, where that is new
   */
  add(noiseScale: NoiseScale, plain: () => NoiseScale, dwell: number): "found" | "lost" | undefined {
    const { bSimple, bSimpleLow, bSimpleHigh } = noiseScale;
    if (bSimple !== undefined && bSimpleLow !== undefined && bSimpleHigh !== undefined) {
      this.#last = { bSimple, bSimpleLow, bSimpleHigh };
    }
    const isFound = this.#dwell.standing === 1;
    const identifiable = noiseScale.identifiable || (isFound && plain().identifiable);
    if (!this.#dwell.add(identifiable ? 1 : 0, dwells * dwell)) return undefined;
    return this.#dwell.standing === 1 ? "found" : "lost";
  }

  write(writer: StateWriter): void {
    this.#dwell.write(writer);
    writeInterval(writer, this.#last);
  }

  static read(reader: StateReader): SignalLoss {
    const read = new SignalLoss();
    read.#dwell = Dwell.read(reader);
    read.#last = readInterval(reader);
    return read;
  }
}

export function writeInterval(writer: StateWriter, interval: NoiseScaleInterval | undefined): void {
  writer.number(interval?.bSimple ?? 0);
  writer.number(interval?.bSimpleLow ?? 0);
  writer.number(interval?.bSimpleHigh ?? 0);
}

export function readInterval(reader: StateReader): NoiseScaleInterval | undefined {
  const [bSimple, bSimpleLow, bSimpleHigh] = [reader.number(), reader.number(), reader.number()];
  return bSimple === 0 ? undefined : { bSimple, bSimpleLow, bSimpleHigh };
}
