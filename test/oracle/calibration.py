"""Calibration of a project and first crossings of a target, a second time: by their definitions, with Brent's method."""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import brentq
from scipy.stats import t as student_t

Array = np.ndarray
Json = dict[str, object]


def predicted_critical_batch_size(ratio: float, batch_size: float, steps: Array, inverse: Array) -> float:
    """E_min/S_min of one run where 𝓑 = ratio/inverse. McCandlish et al. 2018, arXiv:1812.06162, appendix D."""
    gain = inverse / ratio * batch_size
    min_steps = (steps * gain / (1 + gain)).sum()
    min_units = (steps * batch_size / (1 + gain)).sum()
    return min_units / min_steps


def run_ratio(critical: float, batch_size: float, steps: Array, inverse: Array) -> float:
    """The factor on B_simple with which the run predicts the critical batch size."""

    def excess(log_ratio: float) -> float:
        return math.log(predicted_critical_batch_size(math.exp(log_ratio), batch_size, steps, inverse) / critical)

    return math.exp(brentq(excess, -60, 60, xtol=1e-14, rtol=1e-14))


def calibration(batch_sizes: Array, runs: list[tuple[Array, Array]], critical: tuple[float, float, float]) -> Json:
    """Ratio with its interval for the next run."""

    def log_means(value: float) -> tuple[list[float], Array]:
        ratios = [run_ratio(value, b, *run) for b, run in zip(batch_sizes, runs, strict=True)]
        logs = np.log(ratios)
        return ratios, np.array([logs[batch_sizes == b].mean() for b in np.unique(batch_sizes)])

    ratios, means = log_means(critical[0])
    n = len(means)
    spread = student_t.ppf(0.975, n - 1) * means.std(ddof=1) * math.sqrt(1 + 1 / n)
    low, high = (log_means(end)[1].mean() - means.mean() for end in critical[1:])
    return {
        "ratios": ratios,
        "ratio": [
            math.exp(means.mean()),
            math.exp(means.mean() - math.hypot(low, spread)),
            math.exp(means.mean() + math.hypot(high, spread)),
        ],
    }


def crossing(steps: Array, values: Array, comparison: str, target: float) -> float | None:
    """First step at which the line through the values meets the target; None where it does not, or at the first one."""
    met = values <= target if comparison == "<=" else values >= target
    if not met.any() or met[0]:
        return None
    i = int(np.argmax(met))
    return float(np.interp(target, *zip(*sorted([(values[i - 1], steps[i - 1]), (values[i], steps[i])]), strict=True)))


def smoothed(steps: Array, losses: Array) -> tuple[Array, Array]:
    """Averages by their weights: loss k of n weighs 9/(k + 8) · Π_{j=k+1..n} (1 − 9/(j + 8))."""
    n = len(losses)
    own = 9 / (np.arange(1, n + 1) + 8)
    averages, places = np.empty(n), np.empty(n)
    for last in range(n):
        # what is left of each weight after all the later ones
        kept = np.array([np.prod(1 - own[k + 1 : last + 1]) for k in range(last + 1)])
        weights = own[: last + 1] * kept
        averages[last], places[last] = weights @ losses[: last + 1], weights @ steps[: last + 1]
    return places, averages


def references() -> tuple[list[Json], list[Json]]:
    """Calibrations of sweeps, and crossings of curves."""
    rng = np.random.default_rng(23)
    calibrations = []
    for seeds in (1, 2, 3):
        batch_sizes = np.repeat(np.array([20.0, 90.0, 400.0, 1800.0]), seeds)
        runs = []
        for b in batch_sizes:
            n = 40
            inverse = np.maximum(0, 1 / (300 * np.exp(1.2 * np.arange(n) / n + 0.3 * rng.normal(size=n)) * (b / 90) ** 0.1))
            if b < 300:
                inverse[rng.random(n) < 0.1] = 0
            steps = rng.integers(1, 5, n).astype(float)
            runs.append((np.round(steps, 3), np.array([float(f"{v:.9g}") for v in inverse])))
        critical = (140.0, 110.0, 190.0)
        calibrations.append(
            {
                "batch_sizes": batch_sizes.tolist(),
                "steps": [steps.tolist() for steps, _ in runs],
                "inverse_noise_scales": [inverse.tolist() for _, inverse in runs],
                "critical_batch_size": list(critical),
                **calibration(batch_sizes, runs, critical),
            }
        )
    crossings = []
    for case in range(12):
        n = 60
        steps = np.cumsum(rng.integers(1, 9, n)).astype(float)
        losses = np.array([float(f"{v:.9g}") for v in 2 / (1 + steps / 60) * np.exp(0.1 * rng.normal(size=n))])
        places, averages = smoothed(steps, losses)
        target = (0.9, 0.6, 0.01, 3.0)[case % 4]
        crossings.append(
            {
                "steps": steps.tolist(),
                "values": losses.tolist(),
                "target": target,
                "falling": crossing(steps, losses, "<=", target),
                "rising": crossing(steps, -losses, ">=", -target),
                "smoothed": crossing(places, averages, "<=", target),
            }
        )
    return calibrations, crossings
