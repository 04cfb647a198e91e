"""Frontier of a sweep, a second time: both parameters at once by scipy's least squares, intervals by their definition."""

from __future__ import annotations

import math
import numpy as np
from scipy.optimize import brentq, least_squares
from scipy.stats import norm
from scipy.stats import t as student_t

Array = np.ndarray
Json = dict[str, object]

REPLICATES = 20_000
# of (ln S_min, ln B_crit)
DIRECTIONS = {
    "min_steps": np.array([1.0, 0.0]),
    "critical_batch_size": np.array([0.0, 1.0]),
    "min_units": np.array([1.0, 1.0]),
}


def curve(parameters: Array, batch_sizes: Array) -> Array:
    """ln S for (ln S_min, ln B_crit). McCandlish et al. 2018, arXiv:1812.06162, equation 2.11."""
    return parameters[0] + np.logaddexp(0, parameters[1] - np.log(batch_sizes))


def fit(batch_sizes: Array, log_steps: Array, weights: Array | float = 1.0) -> tuple[Array, float]:
    """Parameters and weighted sum of squares, the best of several starts."""
    root = np.sqrt(np.broadcast_to(weights, batch_sizes.shape))

    def residuals(parameters: Array) -> Array:
        return root * (curve(parameters, batch_sizes) - log_steps)

    starts = [np.array([log_steps.min(), start]) for start in np.log(np.quantile(batch_sizes, [0.1, 0.5, 0.9]))]
    found = min(
        (least_squares(residuals, start, xtol=1e-15, ftol=1e-15, gtol=1e-15) for start in starts),
        key=lambda result: result.cost,
    )
    return found.x, 2 * found.cost


def profile_interval(
    batch_sizes: Array, log_steps: Array, direction: Array, best: Array, limit: float
) -> list[float]:
    """Values of direction . parameters at which the best curve reaches the limit of the sum of squares."""
    along = direction / np.dot(direction, direction)
    across = np.array([-direction[1], direction[0]])

    def excess(value: float) -> float:
        def residuals(free: Array) -> Array:
            return curve(value * along + free[0] * across, batch_sizes) - log_steps

        start = np.array([np.dot(best, across) / np.dot(across, across)])
        return 2 * least_squares(residuals, start, xtol=1e-15, ftol=1e-15, gtol=1e-15).cost - limit

    middle = float(np.dot(direction, best))

    def end(sign: int) -> float:
        step = 0.01
        while excess(middle + sign * step) < 0:
            step *= 1.5
        return brentq(excess, middle, middle + sign * step, xtol=1e-13, rtol=1e-13)

    return [math.exp(end(-1)), math.exp(end(1))]


def residual_case(batch_sizes: Array, steps: Array) -> Json:
    """Fit and profile intervals of a sweep that has too few seeds to draw them again."""
    log_steps = np.log(steps)
    best, squares = fit(batch_sizes, log_steps)
    degrees = len(steps) - 2
    limit = squares * (1 + float(student_t.ppf(0.975, degrees)) ** 2 / degrees)
    intervals = {
        name: profile_interval(batch_sizes, log_steps, direction, best, limit) for name, direction in DIRECTIONS.items()
    }
    return case(batch_sizes, steps, best, squares, intervals)


def seed_case(rng: np.random.Generator, batch_sizes: Array, steps: Array) -> Json:
    """Fit and bootstrap intervals of a sweep of batch sizes x seeds; its draws are its own, so the ends agree roughly."""
    log_steps = np.log(steps)
    sizes, seeds = log_steps.shape
    best, squares = fit(np.repeat(batch_sizes, seeds), log_steps.ravel())
    means = log_steps.mean(axis=1)
    within = ((log_steps - means[:, None]) ** 2).sum()
    between = seeds * ((curve(best, batch_sizes) - means) ** 2).sum() / (sizes - 2)
    degrees = sizes * (seeds - 1)
    stretch = math.sqrt(max(1, between / (within / degrees)) * seeds / (seeds - 1))
    drawn = rng.integers(seeds, size=(REPLICATES, sizes, seeds))
    again = np.take_along_axis(np.broadcast_to(log_steps, drawn.shape), drawn, axis=2).mean(axis=2)
    replicates = means + stretch * (again - means)
    parameters = fit_many(batch_sizes, replicates, best)
    # d parameters / d mean of each batch size, at the fit: rows ln S_min, ln B_crit
    slope = 1 / (1 + batch_sizes / math.exp(best[1]))
    sensitivities = np.linalg.pinv(np.column_stack([np.ones(sizes), slope]))
    intervals = {}
    for name, direction in DIRECTIONS.items():
        shares = (direction @ sensitivities) ** 2
        satterthwaite = (seeds - 1) * shares.sum() ** 2 / (shares**2).sum()
        widening = student_t.ppf(0.975, satterthwaite) / norm.ppf(0.975)
        middle = direction @ best
        ends = np.quantile(parameters @ direction, [0.025, 0.975])
        intervals[name] = np.exp(middle + widening * (ends - middle)).tolist()
    return case(np.repeat(batch_sizes, seeds), steps.ravel(), best, squares, intervals)


def fit_many(batch_sizes: Array, log_steps: Array, start: Array) -> Array:
    """Gauss-Newton on all replicates (rows) at once."""
    parameters = np.tile(start, (len(log_steps), 1))
    for _ in range(50):
        exponent = parameters[:, 1:] - np.log(batch_sizes)
        residuals = log_steps - parameters[:, :1] - np.logaddexp(0, exponent)
        slope = 1 / (1 + np.exp(-exponent))
        centered = slope - slope.mean(axis=1, keepdims=True)
        change = (centered * residuals).sum(axis=1) / (centered**2).sum(axis=1)
        parameters[:, 1] += change
        level = log_steps - np.logaddexp(0, parameters[:, 1:] - np.log(batch_sizes))
        parameters[:, 0] = level.mean(axis=1)
        if np.abs(change).max() < 1e-12:
            return parameters
    raise RuntimeError("the replicates do not converge: the case is too hard for a reference")


def case(batch_sizes: Array, steps: Array, best: Array, squares: float, intervals: dict[str, list[float]]) -> Json:
    """A sweep with its expected answers."""
    return {
        "batch_sizes": batch_sizes.tolist(),
        "steps": steps.tolist(),
        "min_steps": math.exp(best[0]),
        "critical_batch_size": math.exp(best[1]),
        "min_units": math.exp(best.sum()),
        "rms_log_residual": math.sqrt(squares / len(steps)),
        "intervals": intervals,
    }


def references() -> Json:
    """Sweeps whose intervals rest on residuals, and on seeds."""
    rng = np.random.default_rng(17)

    def simulated(batch_sizes: Array, critical: float, deviation: float) -> Array:
        steps = 300 * (1 + critical / batch_sizes) * np.exp(deviation * rng.normal(size=batch_sizes.shape))
        return np.round(steps, 3)

    residuals = []
    for count, critical, deviation in ((4, 200.0, 0.02), (6, 150.0, 0.1), (6, 2000.0, 0.2), (12, 700.0, 0.3)):
        batch_sizes = np.round(np.geomspace(8, 16384, count))
        residuals.append(residual_case(batch_sizes, simulated(batch_sizes, critical, deviation)))
    # a batch size twice, another four times: runs count, not batch sizes
    uneven = np.array([8.0, 8, 64, 64, 64, 64, 512, 4096])
    residuals.append(residual_case(uneven, simulated(uneven, 300, 0.1)))
    seeds = []
    for count, each, critical, deviation in ((6, 3, 150.0, 0.1), (12, 3, 700.0, 0.2), (5, 6, 90.0, 0.15)):
        batch_sizes = np.round(np.geomspace(8, 16384, count))
        steps = simulated(np.repeat(batch_sizes[:, None], each, axis=1), critical, deviation)
        seeds.append(seed_case(rng, batch_sizes, steps))
    return {"residuals": residuals, "seeds": seeds}
