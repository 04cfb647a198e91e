"""Writes test/oracle/reference/*.json, what the TypeScript is compared with.

    python test/oracle/make_reference.py            write them
    python test/oracle/make_reference.py --check    compute again and compare; also the filter's experiment, with few seeds
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path

import calibration
import branch_check
import filter_experiment
import frontier_fit
import measured_forms
import measured_run
import noise_scale
import numpy as np
import run_watch
import training_settings
from measured_run import Json, Plan
from scipy.optimize import brentq
from scipy.special import ndtr
from scipy.stats import t as student_t

Array = np.ndarray

FOLDER = Path(__file__).parent
# numpy's exp and log differ in the last bit between processors, which some hundred steps of the filter carry on
TOLERANCE = 1e-7


def plans() -> list[Plan]:
    """Runs that together reach every branch of a run's statistics."""
    n = 400
    x = np.arange(n) / n
    ones = np.ones(n)
    steady = Plan("growing", 1, 100 * 30.0**x, 256 * ones, 8 * ones, 256 * ones, np.arange(n), None)
    late = np.arange(n) >= 250
    changing = Plan(
        "changing-batch-with-layers",
        2,
        np.where(late, 900.0, 300.0),
        np.where(late, 512.0, 192.0),
        np.where(late, 4, 6),
        np.where(late, 500.0, 180.0),
        5 + 10 * np.arange(n) + (np.arange(n) % 3),
        20_000.0,
        layers=True,
    )
    hidden = Plan("signal-below-noise", 3, 1e7 * ones, 64 * ones, 4 * ones, 64 * ones, np.arange(n), None)
    correlated = Plan(
        "correlated-with-heavy-tails",
        4,
        500 * ones,
        256 * ones,
        8 * ones,
        256 * ones,
        np.cumsum(np.where(late, 4, 1)),
        None,
        correlation=0.8,
        degrees=2.2,
    )
    # one before the start, one alone, three in a row, one more, so many that they are let in, and all from one on
    scale = np.where(np.arange(n) >= 300, 1000.0, 1.0)
    for place, factor in ((7, 30.0), (58, 1000.0), (100, 10.0), (101, 10.0), (102, 1000.0), (200, 1e6)):
        scale[place] = factor
    scale[230:260:3] = 8.0
    outliers = Plan(
        "outliers",
        5,
        300.0 * 4**x,
        256 * ones,
        8 * ones,
        256 * ones,
        np.arange(n),
        None,
        scale=scale,
    )
    apart = np.where(np.arange(n) < 40, 2, 93)
    spread = Plan(
        "measured-ever-less", 9, 100 * 30.0**x, 256 * ones, 8 * ones, 256 * ones, np.cumsum(apart), None
    )
    return [steady, changing, hidden, correlated, outliers, spread, *plans_with_forms(n)]


def plans_with_forms(n: int) -> list[Plan]:
    """Runs whose hook measures other quadratic forms: B_noise now and then and then no longer, and with a change of sign."""
    x = np.arange(n) / n
    ones = np.ones(n)
    index = np.arange(n)
    curvature = 1 / np.arange(1, measured_run.DIMENSIONS + 1)
    preconditioner = 1 / (0.05 + np.sqrt(curvature))
    sparse = Plan(
        "with-forms-now-and-then",
        6,
        100 * 8.0**x,
        256 * ones,
        8 * ones,
        np.where(index < 120, 250.0, 256.0),
        3 * index + 2 * (index % 5 == 0),
        30_000.0,
        forms=measured_forms.Forms(
            np.tile(curvature - 0.05, (n, 1)),
            (index % 4 == 2) & (index < 300) & (index % 28 != 2),
            preconditioner,
            index > 0,
        ),
    )
    # negative first, then of either sign by turns, then positive
    sign = np.where(index < 30, -1.0, np.where(index < 60, 1 - 1.6 * (index % 2), 1.0))
    turning = Plan(
        "with-turning-curvature",
        7,
        60 * ones,
        128 * ones,
        4 * ones,
        128 * ones,
        index,
        None,
        forms=measured_forms.Forms(sign[:, None] * curvature, index >= 0, preconditioner, index % 2 == 0),
    )
    return [sparse, turning]


def run_reference(plan: Plan) -> Json:
    """Measurements of a run and what is known after some of them."""
    measurements = measured_run.measure(plan)
    return {
        "dataset_units": plan.dataset_units,
        "measurements": measurements,
        "expected": measured_run.expected(measurements, plan.dataset_units, [2, 3, 12, 20, 21, 60, 150, 260, 400]),
    }


def fieller_reference() -> list[Json]:
    """Sets of a ratio over means that are near 0 and far from it. An end of null is infinite."""
    rng = np.random.default_rng(7)
    cases = []
    for _ in range(60):
        numerator, denominator = (measured_run.nine_digits(value) for value in rng.normal(0, 3, 2))
        factor = rng.normal(0, 1, (2, 2))
        covariance = np.array([[measured_run.nine_digits(v) for v in row] for row in factor @ factor.T])
        quantile = 2.0
        pieces = noise_scale.fieller(numerator, denominator, covariance, quantile)
        cases.append(
            {
                "means": [numerator, denominator],
                "covariance": [covariance[0, 0], covariance[0, 1], covariance[1, 1]],
                "quantile": quantile,
                "pieces": [[None if math.isinf(end) else end for end in piece] for piece in pieces],
            }
        )
    return cases


def mixture_quantile(weights: Array, means: Array, deviations: Array, probability: float) -> float:
    """Quantile of a mixture of normals, by Brent's method on its distribution function."""
    return brentq(
        lambda value: (weights * ndtr((value - means) / deviations)).sum() - probability,
        -100,
        100,
        xtol=1e-15,
        rtol=1e-14,
    )


def distribution_reference() -> Json:
    """Quantiles of Student's t and of mixtures of normals."""
    degrees = [0.5, 1, 1.0667, 2, 3.5, 7, 23.7, 99, 1599, 1e5]
    rng = np.random.default_rng(11)
    mixtures = []
    for _ in range(20):
        weights = rng.dirichlet(np.full(9, 0.3))
        means, deviations = rng.normal(1, 0.5, 9), np.exp(rng.normal(-2, 1.5, 9))
        quantiles = [mixture_quantile(weights, means, deviations, probability) for probability in (0.025, 0.5, 0.975)]
        mixtures.append(
            {
                "weights": weights.tolist(),
                "means": means.tolist(),
                "deviations": deviations.tolist(),
                "quantiles": quantiles,
            }
        )
    return {
        "student_t": [[p, v, float(student_t.ppf(p, v))] for v in degrees for p in (0.6, 0.9, 0.975, 0.9995)],
        "normal": [[float(z), float(ndtr(z))] for z in (-37, -8.1, -7.2, -3.3, -1, -1e-3, 0, 0.4, 1.96, 6, 9)],
        "normal_mixtures": mixtures,
    }


def recommendation_reference() -> list[Json]:
    """Recommended batch sizes by trying every multiple, and SGD's factor to get there from 128."""
    cases = []
    for noise in (3.2, 77.0, 500.4, 12_345.6):
        for ratio in (None, 64.0, 4096.0):
            for multiple in (1, 8, 96):
                for least, most in ((None, None), (50.0, 300.0), (100.0, 110.0), (1000.0, None)):
                    size = noise_scale.recommended(noise, ratio=ratio, multiple=multiple, least=least, most=most)
                    cases.append(
                        {
                            "noise_scale": noise,
                            "latency_ratio": ratio,
                            "batch_multiple": multiple,
                            "batch_min": least,
                            "batch_max": most,
                            "batch_size": size,
                            "sgd_factor_from_128": noise_scale.sgd_learning_rate_factor(128, size, noise),
                        }
                    )
    return cases


def references() -> dict[str, object]:
    """Content by file name."""
    calibrations, crossings = calibration.references()
    return {
        "calibrations.json": calibrations,
        "crossings.json": crossings,
        "fieller.json": fieller_reference(),
        "distributions.json": distribution_reference(),
        "recommendations.json": recommendation_reference(),
        "branch-checks.json": branch_check.references(),
        "frontier-fits.json": frontier_fit.references(),
        "power-laws.json": training_settings.power_law_reference(),
        "schedules.json": training_settings.schedule_reference(),
        "settings.json": training_settings.settings_reference(),
        "watches.json": run_watch.references(),
        **{f"run-{plan.name}.json": run_reference(plan) for plan in plans()},
    }


def compact(value: object) -> object:
    """Floats at 12 digits: far more than any comparison uses."""
    if isinstance(value, dict):
        return {key: compact(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [compact(part) for part in value]
    return float(f"{value:.12g}") if isinstance(value, float) else value


def differences(path: str, fresh: object, stored: object) -> list[str]:
    """Places where two contents differ by more than the tolerance."""
    if isinstance(fresh, dict) and isinstance(stored, dict) and fresh.keys() == stored.keys():
        return [line for key in fresh for line in differences(f"{path}.{key}", fresh[key], stored[key])]
    if isinstance(fresh, list) and isinstance(stored, list) and len(fresh) == len(stored):
        pairs = enumerate(zip(fresh, stored, strict=True))
        return [line for i, (one, other) in pairs for line in differences(f"{path}[{i}]", one, other)]
    if isinstance(fresh, float) and isinstance(stored, int | float) and not isinstance(stored, bool):
        if math.isclose(fresh, stored, rel_tol=TOLERANCE, abs_tol=1e-15):
            return []
    elif fresh == stored:
        return []
    return [f"{path}: now {fresh!r}, stored {stored!r}"]


def experiment_differences(seeds: int = 20) -> list[str]:
    """The filter's coverage and error on seeds that the stored table did not use."""
    stored = json.loads((FOLDER / "filter_experiment.json").read_text())["runs"]
    found = []
    for run, row in filter_experiment.experiment(range(seeds)).items():
        now, then = row["filter"], stored[run]["filter"]
        # four standard errors of a share of intervals, whose correlation within a run leaves about four to count
        allowed = 4 * math.sqrt(then["coverage"] * (1 - then["coverage"]) / (4 * seeds))
        if abs(now["coverage"] - then["coverage"]) > allowed:
            found.append(f"{run}: coverage {now['coverage']:.3f}, stored {then['coverage']:.3f}, ± {allowed:.3f}")
        ratio = now["median_absolute_log_error"] / then["median_absolute_log_error"]
        # a constant run's error is that of one number a seed: its median over 20 seeds varies by about a fifth
        if not 0.5 < ratio < 2:
            found.append(f"{run}: median error {ratio:.2f} times the stored one")
    return found


def main() -> int:
    """Writes, or checks and prints what differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with what is stored; exit code 1 on a difference")
    check = parser.parse_args().check
    folder = FOLDER / "reference"
    fresh = {name: compact(content) for name, content in references().items()}
    if not check:
        folder.mkdir(exist_ok=True)
        for name, content in fresh.items():
            (folder / name).write_text(json.dumps(content, separators=(",", ":")) + "\n")
        return 0
    found = []
    for name, content in fresh.items():
        stored = folder / name
        if not stored.exists():
            found.append(f"{name}: not there")
            continue
        found += differences(name, content, json.loads(stored.read_text()))
    found += [f"{path.name}: not made by this program" for path in folder.glob("*.json") if path.name not in fresh]
    found += experiment_differences()
    for line in found[:50]:
        print(line)
    print(f"{len(found)} differences" if found else "The references and the filter's experiment come out as stored.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
