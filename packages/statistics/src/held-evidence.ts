import type { FormNoiseScale } from "./form-scale.ts";
import { heldNoiseScale, heldWithin } from "./recommendation.ts";
import { SmoothedLoss } from "./smoothed-loss.ts";
import type { StateReader, StateWriter } from "./state-bytes.ts";

/** The smoothed loss moves only when it is off by more than this factor, so that the frontier near it does not flicker. */
const lossHysteresisFactor = 1.025;

const none = -1;

/** What a recommendation rests on, as it is held, each within its hysteresis. Undefined until it is known. */
export class HeldEvidence {
  #bSimple: number | undefined;
  #bNoise: number | undefined;
  #smoothing = new SmoothedLoss();
  #smoothedLoss: number | undefined;

  get bSimple(): number | undefined {
    return this.#bSimple;
  }

  get bNoise(): number | undefined {
    return this.#bNoise;
  }

  /** Training loss, smoothed over a fixed share of the run; undefined where it is not positive. */
  get smoothedLoss(): number | undefined {
    return this.#smoothedLoss;
  }

  /** The noise scales as they are now. */
  hold(bSimple: FormNoiseScale, bNoise: FormNoiseScale): void {
    this.#bSimple = heldNoiseScale(this.#bSimple, bSimple);
    this.#bNoise = heldNoiseScale(this.#bNoise, bNoise);
  }

  addLoss(step: number, loss: number): void {
    this.#smoothing.add(step, loss);
    const smoothed = this.#smoothing.value?.loss ?? 0;
    // Losses that may be negative have no ratio, and no frontier is near them.
    this.#smoothedLoss = smoothed > 0 ? heldWithin(lossHysteresisFactor, this.#smoothedLoss, smoothed) : undefined;
  }

  write(writer: StateWriter): void {
    writer.number(this.#bSimple ?? none);
    writer.number(this.#bNoise ?? none);
    this.#smoothing.write(writer);
    writer.number(this.#smoothedLoss ?? none);
  }

  static read(reader: StateReader): HeldEvidence {
    const read = new HeldEvidence();
    read.#bSimple = readHeld(reader);
    read.#bNoise = readHeld(reader);
    read.#smoothing = SmoothedLoss.read(reader);
    read.#smoothedLoss = readHeld(reader);
    return read;
  }
}

function readHeld(reader: StateReader): number | undefined {
  const held = reader.number();
  return held === none ? undefined : held;
}
