/** Straight line through the logarithms of pairs: ln y = intercept + slope·ln x. */
export interface LogLine {
  readonly slope: number;
  readonly intercept: number;
  /** Root of the mean square of ln y − line. */
  readonly rmsLogResidual: number;
  /**
   * Share of the variance of ln y that the line foretells: each pair against the line through the others. Below 0 where
   * the mean would be nearer; NaN where ln y does not vary, or one pair alone sets the slope.
   */
  readonly foretold: number;
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
  const varianceX = mean(logs.map(([x]) => (x - meanX) ** 2));
  const slope = mean(logs.map(([x, y]) => (x - meanX) * (y - meanY))) / varianceX;
  const residuals = logs.map(([x, y]) => y - meanY - slope * (x - meanX));
  // A residual over 1 − leverage is that against the line through the others.
  const leftOut = logs.map(([x], i) => {
    const leverage = (1 + (x - meanX) ** 2 / varianceX) / logs.length;
    return (residuals[i] ?? Number.NaN) / (1 - leverage);
  });
  const meanSquare = (values: readonly number[]): number => mean(values.map((value) => value * value));
  return {
    slope,
    intercept: meanY - slope * meanX,
    rmsLogResidual: Math.sqrt(meanSquare(residuals)),
    foretold: 1 - meanSquare(leftOut) / meanSquare(logs.map(([, y]) => y - meanY)),
  };
}

function mean(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0) / values.length;
}
