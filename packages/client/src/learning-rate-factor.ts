import type { RunDeclarationInput } from "@noisescale/protocol";

/** The collector's factor for the whole way from one batch size to another. */
export interface KnownFactor {
  readonly optimizer: RunDeclarationInput["optimizer"];
  /** [units] */
  readonly from: number;
  /** [units]; not `from` */
  readonly to: number;
  readonly factor: number | null;
}

/**
 * Factor on the learning rate for a batch size on the way to the recommended one. A change is limited and rounded, so it is
 * seldom the one that the collector's factor is for; the noise scale behind that factor is the collector's to choose.
 *
 * SGD: (1 + 𝓑/B)/(1 + 𝓑/B′), so 1/factor is linear in 1/B′ (McCandlish et al. 2018, arXiv:1812.06162, equation 2.6).
 * Adam: (B′/B)^p, so the logarithms are proportional (Malladi et al. 2022, arXiv:2205.10287).
 * @returns null where the collector knows no factor
 */
export function learningRateFactorAt(batchSize: number, { optimizer, from, to, factor }: KnownFactor): number | null {
  if (factor === null) return null;
  if (optimizer === "sgd") {
    const share = (1 / from - 1 / batchSize) / (1 / from - 1 / to);
    return 1 / (1 + share * (1 / factor - 1));
  }
  return factor ** (Math.log(batchSize / from) / Math.log(to / from));
}
