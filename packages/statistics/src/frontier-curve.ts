/** A batch size of a sweep: the mean of ln S over its runs, which counts as often as there are runs. */
export interface CurvePoint {
  /** [units] */
  readonly batchSize: number;
  readonly meanLogSteps: number;
  readonly runs: number;
}

/**
 * Least squares of the frontier's curve. At −∞ the steps do not depend on the batch size (E_min is 0), at +∞ they fall as
 * 1/B (S_min is 0).
 */
export interface CurveFit {
  /** ln B_crit */
  readonly logCriticalBatchSize: number;
  /** ln S_min */
  readonly logMinSteps: number;
  /** ln E_min */
  readonly logMinUnits: number;
  /** Σ runs·(mean of ln S − curve)² */
  readonly sumOfSquares: number;
}

// e^14: a critical batch size a million times beyond the sweep moves its curve by less than a millionth.
const margin = 14;
const gridStep = 0.5;

/**
 * Fits ln S = ln S_min + ln(1 + B_crit/B) to a sweep by least squares.
 *
 * Given B_crit, ln S_min is a weighted mean, so that one parameter is left (variable projection: Golub and Pereyra 1973).
 * The whole line of B_crit is searched, with both of its ends, then Gauss–Newton steps in a bracket: the global minimum,
 * and a curve without one asymptote is told from one that has both.
 * Source of the curve: McCandlish et al. 2018, arXiv:1812.06162, equation 2.11.
 */
export class FrontierCurve {
  readonly #batchSizes: Float64Array;
  readonly #logBatchSizes: Float64Array;
  readonly #weights: Float64Array;
  readonly #totalWeight: number;
  readonly #shapes: readonly Float64Array[];
  /** ln B_crit at which the curve was laid out, ends included. */
  readonly grid: Float64Array;
  // Scratch: the curve's shape and slope at one critical batch size.
  readonly #shape: Float64Array;
  readonly #slope: Float64Array;

  /** @param points - of which only batch sizes and numbers of runs are read */
  constructor(points: readonly Pick<CurvePoint, "batchSize" | "runs">[]) {
    this.#batchSizes = Float64Array.from(points, ({ batchSize }) => batchSize);
    this.#logBatchSizes = this.#batchSizes.map(Math.log);
    this.#weights = Float64Array.from(points, ({ runs }) => runs);
    this.#totalWeight = sum(this.#weights);
    this.#shape = new Float64Array(points.length);
    this.#slope = new Float64Array(points.length);
    const first = Math.min(...this.#logBatchSizes) - margin;
    const last = Math.max(...this.#logBatchSizes) + margin;
    const inner = Array.from({ length: Math.ceil((last - first) / gridStep) + 1 }, (_, i) => first + i * gridStep);
    this.grid = Float64Array.of(Number.NEGATIVE_INFINITY, ...inner, Number.POSITIVE_INFINITY);
    this.#shapes = Array.from(this.grid, (place) => {
      this.#layOut(place);
      return this.#shape.slice();
    });
  }

  /** @param meanLogSteps - one number a point, in their order */
  fit(meanLogSteps: ArrayLike<number>): CurveFit {
    let best = 0;
    let least = Number.POSITIVE_INFINITY;
    for (let place = 0; place < this.grid.length; place += 1) {
      const { sumOfSquares } = this.#project(this.#shapes[place] ?? this.#shape, meanLogSteps);
      // The line's ends come out only where they are better than, or the same as, what lies before them.
      if (sumOfSquares < least || (sumOfSquares === least && this.grid[place] === Number.POSITIVE_INFINITY)) {
        least = sumOfSquares;
        best = place;
      }
    }
    const place = this.grid[best] ?? Number.NaN;
    if (!Number.isFinite(place)) return this.at(place, meanLogSteps);
    const low = this.grid[best - 1] ?? place;
    const high = this.grid[best + 1] ?? place;
    return this.at(
      this.#minimum(Math.max(low, place - gridStep), place, Math.min(high, place + gridStep), meanLogSteps),
      meanLogSteps,
    );
  }

  /** The best curve with this ln B_crit. */
  at(logCriticalBatchSize: number, meanLogSteps: ArrayLike<number>): CurveFit {
    this.#layOut(logCriticalBatchSize);
    const { level, sumOfSquares } = this.#project(this.#shape, meanLogSteps);
    const { logMinSteps, logMinUnits } =
      logCriticalBatchSize === Number.POSITIVE_INFINITY
        ? { logMinSteps: Number.NEGATIVE_INFINITY, logMinUnits: level }
        : { logMinSteps: level, logMinUnits: level + logCriticalBatchSize };
    return { logCriticalBatchSize, logMinSteps, logMinUnits, sumOfSquares };
  }

  /**
   * How far ln B_crit and ln S_min of a fit move with the mean of ln S at each batch size, to first order (Gauss–Newton).
   *
   * @param logCriticalBatchSize - of the fit, finite
   */
  sensitivities(logCriticalBatchSize: number): { logCriticalBatchSize: Float64Array; logMinSteps: Float64Array } {
    this.#layOut(logCriticalBatchSize);
    const share = this.#weights.map((weight) => weight / this.#totalWeight);
    const meanSlope = this.#slope.reduce((total, slope, i) => total + (share[i] ?? 0) * slope, 0);
    const centered = this.#slope.map((slope) => slope - meanSlope);
    const curvature = centered.reduce((total, value, i) => total + (share[i] ?? 0) * value * value, 0);
    const critical = centered.map((value, i) => ((share[i] ?? 0) * value) / curvature);
    return {
      logCriticalBatchSize: critical,
      logMinSteps: share.map((value, i) => value - meanSlope * (critical[i] ?? 0)),
    };
  }

  /** ln(1 + B_crit/B) and its slope in ln B_crit, into the scratch arrays; −ln B at the upper end, where S_min is 0. */
  #layOut(place: number): void {
    const critical = Math.exp(place);
    for (let i = 0; i < this.#shape.length; i += 1) {
      const batchSize = this.#batchSizes[i] ?? Number.NaN;
      const upper = place === Number.POSITIVE_INFINITY;
      this.#shape[i] = upper ? -(this.#logBatchSizes[i] ?? Number.NaN) : Math.log1p(critical / batchSize);
      this.#slope[i] = upper ? 1 : critical / (critical + batchSize);
    }
  }

  #project(shape: Float64Array, meanLogSteps: ArrayLike<number>): { level: number; sumOfSquares: number } {
    let level = 0;
    for (let i = 0; i < shape.length; i += 1) {
      level += (this.#weights[i] ?? 0) * ((meanLogSteps[i] ?? Number.NaN) - (shape[i] ?? Number.NaN));
    }
    level /= this.#totalWeight;
    let sumOfSquares = 0;
    for (let i = 0; i < shape.length; i += 1) {
      const residual = (meanLogSteps[i] ?? Number.NaN) - (shape[i] ?? Number.NaN) - level;
      sumOfSquares += (this.#weights[i] ?? 0) * residual * residual;
    }
    return { level, sumOfSquares };
  }

  #minimum(from: number, start: number, to: number, meanLogSteps: ArrayLike<number>): number {
    let [low, place, high] = [from, start, to];
    for (let iteration = 0; iteration < 100; iteration += 1) {
      this.#layOut(place);
      const { level } = this.#project(this.#shape, meanLogSteps);
      const meanSlope = this.#slope.reduce((total, slope, i) => total + (this.#weights[i] ?? 0) * slope, 0);
      let descent = 0;
      let curvature = 0;
      for (let i = 0; i < this.#slope.length; i += 1) {
        const weight = this.#weights[i] ?? 0;
        const slope = this.#slope[i] ?? Number.NaN;
        descent += weight * slope * ((meanLogSteps[i] ?? Number.NaN) - (this.#shape[i] ?? Number.NaN) - level);
        curvature += weight * (slope - meanSlope / this.#totalWeight) ** 2;
      }
      if (descent > 0) low = place;
      else high = place;
      const step = place + descent / curvature;
      const next = step > low && step < high ? step : (low + high) / 2;
      if (Math.abs(next - place) <= 1e-14 * Math.max(1, Math.abs(next))) return next;
      place = next;
    }
    return place;
  }
}

function sum(values: Float64Array): number {
  return values.reduce((total, value) => total + value, 0);
}
