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
  /** Before normalising; they sum to 48.4. */
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
  widening = 1,
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
  walk(0, 35), // constant
  walk(0.0025, 2),
  walk(0.007, 0.5),
  walk(0.02, 0.8),
  walk(0.04, 0.1),
  walk(0.5, 0.2), // jumps
  trend(1.25e-5, 0.002, 1, 8),
  trend(9e-5, 0.0045, 0.995, 0.8),
  trend(1.5e-4, 0.0015, 0.998, 1, 1.15), // reversals
];
