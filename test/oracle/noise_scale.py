"""The statistics of one run, a second time: directly from the equations with numpy and scipy, slow and plain.

The TypeScript of packages/statistics is compared with what this computes. Nothing here is a translation of it: averages
are weighted sums over all measurements, roots come from scipy, the filter is filter_bank.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student_t

Array = np.ndarray


def one_step(small: Array, big: Array, small_batch: Array | float, big_batch: Array | float) -> tuple[Array, Array]:
    """|G|^2 and tr Sigma of each step. McCandlish et al. 2018, arXiv:1812.06162, appendix A.1."""
    signal = (big_batch * big - small_batch * small) / (big_batch - small_batch)
    trace = (small - big) / (1 / small_batch - 1 / big_batch)
    return signal, trace


@dataclass(frozen=True)
class Interval:
    """1/x for x = |G|^2 / tr Sigma in a confidence set, cut at x >= 0; None is unknown or unbounded."""

    value: float | None
    low: float | None
    high: float | None
    invalid: bool = False


UNKNOWN = Interval(None, None, None)


def fieller(numerator: float, denominator: float, covariance: Array, quantile: float) -> list[tuple[float, float]]:
    """Pieces of {x : (N - x D)^2 <= t^2 var(N - x D)}, from the roots of the quadratic and a point in each piece.

    Args:
        covariance: of the two means, [2, 2].
    """

    def excess(x: float) -> float:
        variance = covariance[0, 0] - 2 * x * covariance[0, 1] + x * x * covariance[1, 1]
        return (numerator - x * denominator) ** 2 - quantile**2 * variance

    a = denominator**2 - quantile**2 * covariance[1, 1]
    b = -2 * (numerator * denominator - quantile**2 * covariance[0, 1])
    c = numerator**2 - quantile**2 * covariance[0, 0]
    roots = sorted(float(root.real) for root in np.roots([a, b, c]) if abs(root.imag) <= 1e-12 * abs(root))
    edges = [-math.inf, *roots, math.inf]
    pieces = []
    for low, high in zip(edges, edges[1:], strict=False):
        if math.isinf(low) and math.isinf(high):
            inside = 0.0
        elif math.isinf(low):
            inside = high - 1 - abs(high)
        elif math.isinf(high):
            inside = low + 1 + abs(low)
        else:
            inside = (low + high) / 2
        if excess(inside) <= 0:
            pieces.append((low, high))
    return pieces


def noise_scale_interval(numerator: float, denominator: float, covariance: Array, quantile: float) -> Interval:
    """B_simple with its set; unknown where tr Sigma cannot be told from 0 either."""
    pieces = fieller(numerator, denominator, covariance, quantile)
    if len(pieces) != 1 or math.inf in map(abs, pieces[0]) or denominator <= 0:
        return UNKNOWN
    low, high = pieces[0]
    if high <= 0:
        return Interval(None, None, None, invalid=True)
    if low <= 0:
        return Interval(None, 1 / high, None)
    return Interval(denominator / numerator, 1 / high, 1 / low)


@dataclass(frozen=True)
class Average:
    """An exponentially weighted average of both estimates with B_simple's set."""

    signal: float
    trace: float
    effective: float
    interval: Interval


def horizon_average(signal: Array, trace: Array, horizon: int) -> Average:
    """Weights beta^age, beta = (h - 1)/(h + 1); widened for the correlation of neighbours."""
    beta = (horizon - 1) / (horizon + 1)
    n = len(signal)
    weight = beta ** np.arange(n - 1, -1, -1.0)
    share = weight / weight.sum()
    effective = 1 / (share**2).sum()
    both = np.stack([signal, trace])
    means = both @ share
    if n < 3 or effective <= 2:
        return Average(float(means[0]), float(means[1]), float(effective), UNKNOWN)
    away = both - means[:, None]
    spread = (away * share) @ away.T
    of_means = spread * (share**2).sum() / (1 - (share**2).sum())
    # residuals of the ratio and the one before each
    residual = signal - means[0] / means[1] * trace
    later, earlier, pair = residual[1:], residual[:-1], weight[1:] / weight[1:].sum()
    product = pair @ (later * earlier) - (pair @ later) * (pair @ earlier)
    variance = share @ residual**2 - (share @ residual) ** 2
    rho = min(max(product / variance, 0.0), 0.99)
    quantile = student_t.ppf(0.975, effective - 1)
    interval = noise_scale_interval(means[0], means[1], of_means * (1 + rho) / (1 - rho), quantile)
    return Average(float(means[0]), float(means[1]), float(effective), interval)


def predicted_frontier(inverse: Array, units: Array, steps: Array) -> tuple[float, float]:
    """S_min and E_min of what the run did at 1/noise scale `inverse`, which counts as 0 where it is negative."""
    # the share of each step that is a least step: 1 where the inverse is infinite
    share = 1 - 1 / (1 + np.maximum(inverse, 0) * units)
    return float((steps * share).sum()), float((steps * units * (1 - share)).sum())


def mean_lower_end(values: Array, horizon: int) -> tuple[float, float]:
    """Lower end of the 95 % interval of an exponentially weighted mean, and the mean; widened for neighbours' correlation."""
    beta = (horizon - 1) / (horizon + 1)
    weight = beta ** np.arange(len(values) - 1, -1, -1.0)
    share = weight / weight.sum()
    mean = share @ values
    effective = 1 / (share @ share)
    if len(values) < 3 or effective <= 2:
        return -math.inf, float(mean)
    variance = share @ (values - mean) ** 2
    later, earlier, pair = values[1:], values[:-1], weight[1:] / weight[1:].sum()
    rho = (pair @ (later * earlier) - (pair @ later) * (pair @ earlier)) / variance
    rho = min(max(rho, 0.0), 0.99)
    of_mean = variance * (share @ share) / (1 - share @ share) * (1 + rho) / (1 - rho)
    return float(mean - student_t.ppf(0.975, effective - 1) * math.sqrt(of_mean)), float(mean)


def recommended(
    noise_scale: float, *, ratio: float | None, multiple: int = 1, least: float | None = None, most: float | None = None
) -> float:
    """sqrt(r B) to the nearest multiple inside the limits, by trying every multiple; the limits hold where none fits."""
    wanted = noise_scale if ratio is None else math.sqrt(ratio * noise_scale)
    low, high = least or 0, most or math.inf
    top = int(min(high, 2 * wanted + (low + multiple)) // multiple) + 1
    fitting = [k * multiple for k in range(1, top + 1) if low <= k * multiple <= high]
    if not fitting:
        return min(max(wanted, low), high)
    return min(fitting, key=lambda size: (abs(size - wanted), -size))


def sgd_learning_rate_factor(batch: float, new_batch: float, noise_scale: float) -> float:
    """Ratio of the best learning rates e_max/(1 + noise_scale/B). McCandlish et al. 2018, equation 2.6."""
    return (1 / (1 + noise_scale / new_batch)) / (1 / (1 + noise_scale / batch))
