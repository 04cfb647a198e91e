/** Straight line through the logarithms of pairs: ln y = intercept + slope·ln x. */
export interface LogLine {
  readonly slope: number;
  readonly intercept: number;
  /** Root of the mean square of ln y − line. */
  readonly rmsLogResidual: number;
  /** Share of the variance of ln y that the line explains; NaN where ln y does not vary. */
  readonly explained: number;
}

/**
 * Least squares on ln y.
 *
 * @param pairs - positive x and y
 * @returns a slope that is NaN where x does not vary
 */
export function logLine(pairs: readonly (readonly [x: number, y: number])[]): LogLine {
  const logs = pairs.map(([x, y]) => [Math.log(x), Math.log(y)] as const);
  const [meanX, meanY] = [mean(logs.map(([x]) => x)), mean(logs.map(([, y]) => y))];
  const slope = mean(logs.map(([x, y]) => (x - meanX) * (y - meanY))) / mean(logs.map(([x]) => (x - meanX) ** 2));
  const squaredResidual = mean(logs.map(([x, y]) => (y - meanY - slope * (x - meanX)) ** 2));
  return {
    slope,
    intercept: meanY - slope * meanX,
    rmsLogResidual: Math.sqrt(squaredResidual),
    explained: 1 - squaredResidual / mean(logs.map(([, y]) => (y - meanY) ** 2)),
  };
}

function mean(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0) / values.length;
}
