"""What leaving out outliers costs where large gradients are no outliers, and what it saves where they are.

    python test/oracle/outlier_experiment.py

Constant runs of 4000 measurements at B = 256, K = 8. Each is followed with outliers left out, and with all measurements.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import filter_bank
import numpy as np
from filter_experiment import CHECKPOINTS, scores
from noise_scale import one_step
from simulated_runs import BATCH, PARTS, STEPS, draw_noise

Array = np.ndarray


def lognormal(size: float) -> Callable[[np.random.Generator], Array]:
    """exp(size z) over its mean."""
    return lambda rng: np.exp(size * rng.standard_normal(STEPS) - size**2 / 2)


@dataclass(frozen=True)
class Case:
    """Runs with tr Sigma = 1."""

    name: str
    b_simple: float = 300.0
    degrees: int | None = None
    #: factor of |G|^2 at each step, and of all squares at each step
    signal: Callable[[np.random.Generator], Array] = lambda _: np.ones(STEPS)
    all: Callable[[np.random.Generator], Array] = lambda _: np.ones(STEPS)


def every(first: int, distance: int | None, factor: float) -> Callable[[np.random.Generator], Array]:
    """A factor at one step, or from it on at every `distance`th."""

    def factors(_: np.random.Generator) -> Array:
        values = np.ones(STEPS)
        values[slice(first, first + 1) if distance is None else slice(first, None, distance)] = factor
        return values

    return factors


CASES = [
    Case("normal"),
    Case("normal, signal swings by exp(.7z)", signal=lognormal(0.7)),
    Case("normal, signal swings by exp(1.5z)", signal=lognormal(1.5)),
    Case("normal, all swings by exp(z)", all=lognormal(1.0)),
    Case("Student t, 3 degrees", degrees=3),
    Case("nine steps of ten without gradient", all=lambda rng: 10.0 * (rng.random(STEPS) < 0.1)),
    Case("one spike of 100 in both squares", all=every(250, None, 100.0)),
    Case("one spike of 10⁶ in both squares", all=every(250, None, 1e6)),
    Case("a spike of 10⁶ every 500", all=every(250, 500, 1e6)),
]


def simulate(case: Case, seeds: int) -> tuple[Array, Array]:
    """One-step estimates (|G|^2, tr Sigma), [steps, seeds] each."""
    signal, trace = np.empty((2, STEPS, seeds))
    for column in range(seeds):
        rng = np.random.default_rng([70_000, column])
        noise = draw_noise(70_000 + column, degrees=case.degrees)
        size = case.signal(rng) / case.b_simple
        factor = case.all(rng)
        big = factor * (size + 2 * np.sqrt(size) * noise.along + noise.squared)
        signal[:, column], trace[:, column] = one_step(big + factor * noise.spread, big, BATCH / PARTS, BATCH)
    started = trace[: filter_bank.WARM_UP].mean(axis=0) > 0
    return signal[:, started], trace[:, started]


def follow(signal: Array, trace: Array, *, all_measurements: bool) -> tuple[Array, Array]:
    """1/B_simple (lower, middle, upper), [3, checkpoints, seeds], and outliers, [seeds]."""
    seeds = signal.shape[1]
    batch, parts, steps = (np.full(seeds, float(value)) for value in (BATCH, PARTS, 1))
    n = filter_bank.WARM_UP
    bank = filter_bank.start(signal[:n], trace[:n], np.stack([batch] * n), np.stack([parts] * n), np.stack([steps] * n))
    found = np.empty((3, len(CHECKPOINTS), seeds))
    place = {int(step): index for index, step in enumerate(CHECKPOINTS)}
    for step in range(n + 1, len(signal) + 1):
        if all_measurements:
            bank.largest = np.full(seeds, np.inf)
        filter_bank.update(bank, signal[step - 1], trace[step - 1], batch, parts, steps)
        if step in place:
            found[:, place[step]] = [bank.quantile(p) / bank.b0 for p in (0.025, 0.5, 0.975)]
    return found, bank.outliers


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20, help="runs of each kind (20)")
    seeds = parser.parse_args().seeds
    print("| runs | left out a run | the filter | mean of \\|G\\|² over the truth | all measurements | mean |")
    print("|---|---|---|---|---|---|")
    for case in CASES:
        signal, trace = simulate(case, seeds)
        truth = np.full(len(CHECKPOINTS), case.b_simple)
        cells = []
        for all_measurements in (False, True):
            found, outliers = follow(signal, trace, all_measurements=all_measurements)
            score = scores(found, truth)
            if not all_measurements:
                cells.append(f"{outliers.mean():.2f}")
            cells.append(
                f"{score['coverage']:.3f} / {score['median_absolute_log_error']:.3f} / "
                f"{score['median_log_width']:.2f} / {score['unbounded']:.2f}"
            )
            cells.append(f"{(found[1] * case.b_simple).mean():.3g}")
        print(f"| {case.name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
