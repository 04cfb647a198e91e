"""Branch check, a second time: lines by numpy's polyfit with its covariance, differences by scipy's t tests where it has them."""

from __future__ import annotations

import numpy as np
from scipy import stats

Array = np.ndarray
Json = dict[str, object]

CONFIDENCE = 0.95
# (estimate, variance, degrees of freedom)
Estimate = tuple[float, float, float]


def line(units: Array, losses: Array, end: float, window: float) -> Estimate:
    """The straight line through the losses of the window, at its middle."""
    inside = (units > end * (1 - window)) & (units <= end)
    x, y = units[inside] - end * (1 - window / 2), losses[inside]
    # with the middle at 0 the intercept is the estimate
    coefficients, covariance = np.polyfit(x, y, 1, cov=True)
    return float(coefficients[1]), float(covariance[1, 1]), float(len(x) - 2)


def combined(one: Estimate, two: Estimate) -> Estimate:
    """Their difference, after Welch and Satterthwaite."""
    variance = one[1] + two[1]
    return one[0] - two[0], variance, variance**2 / (one[1] ** 2 / one[2] + two[1] ** 2 / two[2])


def of_seeds(values: Array) -> Estimate:
    """Mean of independent values."""
    return float(values.mean()), float(values.var(ddof=1) / len(values)), float(len(values) - 1)


def interval(estimate: Estimate, confidence: float) -> list[float]:
    """t interval."""
    return list(stats.t.interval(confidence, estimate[2], loc=estimate[0], scale=np.sqrt(estimate[1])))


def verdict(differences: list[Estimate], tolerance: float) -> str:
    """Beyond at the shared level, within at the level of each."""
    each = 1 - (1 - CONFIDENCE) / len(differences)
    if any(interval(difference, each)[0] > tolerance for difference in differences):
        return "beyond"
    return (
        "within" if all(interval(one, CONFIDENCE)[1] <= tolerance for one in differences) else "not settled"
    )


def check(branches: list[Json], tolerance: float, window: float, *, paired: bool) -> list[Json]:
    """Expected answers by batch size; `branches` hold a batch size and losses of each seed at steps 0, 1, 2 ..."""
    end = min(branch["batch_size"] * (len(losses) - 1) for branch in branches for losses in branch["losses"])
    lines = [
        [line(branch["batch_size"] * np.arange(len(losses)), np.array(losses), end, window) for losses in branch["losses"]]
        for branch in branches
    ]
    values = [np.array([estimate[0] for estimate in seeds]) for seeds in lines]
    several = len(lines[0]) > 1
    means = [of_seeds(own) if several else seeds[0] for own, seeds in zip(values, lines, strict=True)]
    answers: list[Json] = []
    for place, branch in enumerate(branches):
        low, high = interval(means[place], CONFIDENCE)
        answer: Json = {"batch_size": branch["batch_size"], "loss": means[place][0], "low": low, "high": high}
        if place > 0:
            differences = [
                of_seeds(values[place] - values[other]) if several and paired else combined(means[place], means[other])
                for other in range(place)
            ]
            worst = max(differences, key=lambda difference: difference[0])
            answer["excess"] = [worst[0], *interval(worst, CONFIDENCE)]
            answer["verdict"] = verdict(differences, tolerance)
        answers.append(answer)
    return answers


def references() -> list[Json]:
    """Checks with one seed and with several, named and not."""
    rng = np.random.default_rng(23)
    cases: list[Json] = []
    for seeds, paired, deviation, tolerance, window in (
        (1, False, 0.01, 0.01, 0.25),
        (1, False, 0.05, 0.02, 0.5),
        (3, True, 0.02, 0.01, 0.25),
        (3, False, 0.02, 0.05, 0.4),
        (5, True, 0.1, 0.02, 0.25),
    ):
        shifts = rng.normal(0, 0.05, seeds)
        branches: list[Json] = []
        for batch_size, excess in ((100, 0.0), (200, 0.002), (400, 0.02), (800, 0.12)):
            units = batch_size * np.arange(12_800 // batch_size + 1)
            losses = [
                np.round(1.5 * np.exp(-units / 9000) + excess + shift + deviation * rng.normal(size=units.size), 5)
                for shift in shifts
            ]
            branches.append({"batch_size": batch_size, "losses": [own.tolist() for own in losses]})
        cases.append(
            {
                "paired": paired,
                "tolerance": tolerance,
                "window": window,
                "branches": branches,
                "expected": check(branches, tolerance, window, paired=paired),
            }
        )
    return cases
