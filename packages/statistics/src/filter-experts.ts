/** One way in which the signal-to-noise ratio ξ may move from a measurement to the next. */
interface Expert {
  /** ω: relative noise of the level. */
  readonly levelNoise: number;
  /** q: noise of the drift. */
  readonly driftNoise: number;
  /** Standard deviation of the drift at a start or restart. */
  readonly startDrift: number;
  /** φ: what is left of a drift after a measurement. */
  readonly driftDamping: number;
  /** Before normalising; they sum to 55.42. */
  readonly priorWeight: number;
  /** Of its standard deviation in the interval: how much worse than it thinks it follows a value that turns back. */
  readonly widening: number;
}

const walk = (levelNoise: number, priorWeight: number): Expert => ({
  levelNoise,
  driftNoise: 0,
  startDrift: 0,
  driftDamping: 0,
  priorWeight,
  widening: 1,
});
const trend = (
  driftNoise: number,
  startDrift: number,
  driftDamping: number,
  priorWeight: number,
  widening: number,
): Expert => ({
  levelNoise: 0,
  driftNoise,
  startDrift,
  driftDamping,
  priorWeight,
  widening,
});

/** Found by experiment on simulated runs; see the package's README for the runs and what came out. */
export const experts: readonly Expert[] = [
  walk(0, 42), // constant
  walk(0.0009, 4.4),
  walk(0.0035, 0.2),
  walk(0.02, 0.55),
  walk(0.07, 0.2),
  walk(0.45, 0.17), // jumps
  trend(4.3e-6, 0.0024, 1, 4, 1.05),
  trend(5.3e-5, 0.007, 0.996, 1.6, 1.05),
  trend(3e-4, 0.0007, 0.9965, 0.8, 1.12), // fast reversals
  trend(1.1e-4, 0.00036, 0.9983, 1.5, 1.15), // reversals
];
