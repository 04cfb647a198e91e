/**
 * Distribution function of the standard normal, to about 1e-15.
 *
 * Source: Hart et al. 1968, algorithm 5666, in the form of West 2005, Better approximations to cumulative normal functions.
 */
export function normalDistribution(z: number): number {
  const tail = upperTail(Math.abs(z), Math.exp(-0.5 * z * z));
  return z > 0 ? 1 - tail : tail;
}

/** P(Z > x) for x ≥ 0; `exponential` is e^(−x²/2), which a caller that needs the density has at hand. */
function upperTail(x: number, exponential: number): number {
  if (x > 37) return 0;
  if (x >= 7.07106781186547) {
    return exponential / ((x + 1 / (x + 2 / (x + 3 / (x + 4 / (x + 0.65))))) * 2.506628274631);
  }
  const above =
    (((((0.0352624965998911 * x + 0.700383064443688) * x + 6.37396220353165) * x + 33.912866078383) * x +
      112.079291497871) *
      x +
      221.213596169931) *
      x +
    220.206867912376;
  const below =
    ((((((0.0883883476483184 * x + 1.75566716318264) * x + 16.064177579207) * x + 86.7807322029461) * x +
      296.564248779674) *
      x +
      637.333633378831) *
      x +
      793.826512519948) *
      x +
    440.413735824752;
  return (exponential * above) / below;
}

/** A component lighter than this moves a quantile by less than rounding shows. */
const negligibleWeight = 1e-9;
const rootOfTwoPi = 2.5066282746310002;

/**
 * Quantile of a mixture of normals, by Halley's method kept inside a bracket.
 *
 * @param weights - sum to 1
 * @param means - one a component
 * @param deviations - standard deviation of each component, > 0
 * @param probability - between 0 and 1, ends excluded
 * @param start - where the search begins; changes the cost, and the result within 1e-12 standard deviations
 */
export function mixtureQuantile(
  weights: Float64Array,
  means: Float64Array,
  deviations: Float64Array,
  probability: number,
  start: number,
): number {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  let narrowest = Number.POSITIVE_INFINITY;
  for (let i = 0; i < weights.length; i += 1) {
    if ((weights[i] as number) < negligibleWeight) continue;
    const m = means[i] as number;
    const d = deviations[i] as number;
    low = Math.min(low, m - 40 * d);
    high = Math.max(high, m + 40 * d);
    narrowest = Math.min(narrowest, d);
  }
  let x = start > low && start < high ? start : (low + high) / 2;
  for (let iteration = 0; iteration < 200; iteration += 1) {
    let distribution = 0;
    let density = 0;
    let slope = 0; // of the density
    for (let i = 0; i < weights.length; i += 1) {
      const w = weights[i] as number;
      if (w < negligibleWeight) continue;
      const d = deviations[i] as number;
      const z = (x - (means[i] as number)) / d;
      const exponential = Math.exp(-0.5 * z * z);
      const tail = upperTail(Math.abs(z), exponential);
      distribution += w * (z > 0 ? 1 - tail : tail);
      const height = (w * exponential) / d;
      density += height;
      slope -= (height * z) / d;
    }
    const excess = distribution - probability;
    const newton = (excess * rootOfTwoPi) / density;
    const bend = (newton * slope) / (2 * density);
    const next = x - (Math.abs(bend) < 0.5 ? newton / (1 - bend) : newton);
    // The error after a step of Halley's is about its cube.
    if (Math.abs(next - x) <= 5e-5 * narrowest) return next;
    if (excess > 0) high = x;
    else low = x;
    x = next > low && next < high ? next : (low + high) / 2;
  }
  return x;
}
