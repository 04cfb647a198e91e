import { Horizon } from "./horizon.ts";
import type { NoiseScale } from "./noise-scale.ts";
import type { SquaredNormPair } from "./one-step.ts";
import type { StateReader, StateWriter } from "./state-bytes.ts";
import { stepEstimates } from "./step-estimates.ts";

export interface LayerEstimate extends NoiseScale {
  /** This layer's part of the layers' summed tr Σ. */
  readonly covarianceTraceShare: number | undefined;
}

/** Effective number of measurements in a layer's average. */
export const layerHorizon = 200;

/** Small and big squared norm of a layer [gradient²]. */
export type LayerSquaredNorms = readonly [smallMeanSquaredNorm: number, bigSquaredNorm: number];

/** One horizon a layer. Names are keys of a Map, so that any text can be one. */
export class LayerScales {
  readonly #layers = new Map<string, Horizon>();

  /**
   * Adds all of them, or none where one is refused.
   *
   * @param total - the step's batch sizes, which every layer shares
   * @throws RangeError on a squared norm that is negative or not finite, naming the layer
   */
  add(layers: ReadonlyMap<string, LayerSquaredNorms>, total: SquaredNormPair, datasetUnits: number | undefined): void {
    const steps = [...layers].map(([name, [smallMeanSquaredNorm, bigSquaredNorm]]) => {
      const pair: SquaredNormPair = {
        small: { batchSize: total.small.batchSize, meanSquaredNorm: smallMeanSquaredNorm },
        big: { batchSize: total.big.batchSize, squaredNorm: bigSquaredNorm },
      };
      return [name, stepEstimates(pair, datasetUnits, name)] as const;
    });
    for (const [name, { gradientSquaredNorm, covarianceTrace }] of steps) {
      let horizon = this.#layers.get(name);
      if (horizon === undefined) {
        horizon = new Horizon(layerHorizon);
        this.#layers.set(name, horizon);
      }
      horizon.add(gradientSquaredNorm, covarianceTrace);
    }
  }

  /** Sorted by share of tr Σ, the largest first. */
  estimate(): ReadonlyMap<string, LayerEstimate> {
    const scales = [...this.#layers].map(([name, horizon]) => [name, horizon.noiseScale()] as const);
    const total = scales.reduce((sum, [, scale]) => sum + (scale.covarianceTrace ?? 0), 0);
    return new Map(
      scales
        .sort(([, one], [, other]) => (other.covarianceTrace ?? 0) - (one.covarianceTrace ?? 0))
        .map(([name, scale]) => [
          name,
          {
            ...scale,
            covarianceTraceShare:
              scale.covarianceTrace === undefined || !(total > 0) ? undefined : scale.covarianceTrace / total,
          },
        ]),
    );
  }

  write(writer: StateWriter): void {
    writer.number(this.#layers.size);
    for (const [name, horizon] of this.#layers) {
      writer.text(name);
      horizon.write(writer);
    }
  }

  static read(reader: StateReader): LayerScales {
    const scales = new LayerScales();
    const layers = reader.number();
    for (let i = 0; i < layers; i += 1) scales.#layers.set(reader.text(), Horizon.read(reader, layerHorizon));
    return scales;
  }
}
