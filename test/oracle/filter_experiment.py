"""Does the headline filter hold the current noise scale? Against fixed horizons and Lepski's rule on simulated runs.

    python test/oracle/filter_experiment.py                       the full tables: 200 seeds
    python test/oracle/filter_experiment.py --seeds 20 --json x   fewer, and the numbers as JSON
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import filter_bank
import numpy as np
from noise_scale import one_step
from scipy.stats import t as student_t
from simulated_runs import BATCH, HELD_OUT, PARTS, RUNS, STEPS, TUNED_ON, Run, draw_noise, squared_norms

Array = np.ndarray

HORIZONS = (25, 50, 100, 200, 400, 800, 1600)
# every 100th step after 200
CHECKPOINTS = np.arange(300, STEPS + 1, 100)


def simulate(runs: list[Run], seeds: range) -> tuple[Array, Array]:
    """One-step estimates (|G|^2, tr Sigma), [steps, runs, seeds] each."""
    signal = np.empty((STEPS, len(runs), len(seeds)))
    trace = np.empty_like(signal)
    for column, seed in enumerate(seeds):
        noises = {}
        for row, run in enumerate(runs):
            if run.degrees not in noises:
                noises[run.degrees] = draw_noise(seed, degrees=run.degrees)
            small, big = squared_norms(run, noises[run.degrees])
            batch = run.batches()
            signal[:, row, column], trace[:, row, column] = one_step(small, big, batch / PARTS, batch)
    return signal, trace


def filter_intervals(signal: Array, trace: Array, batch: Array, steps: Array) -> Array:
    """1/B_simple: (lower, median, upper) at the checkpoints, [3, checkpoints, columns].

    Args:
        signal: One-step estimates of |G|^2, [steps, columns].
        trace: Of tr Sigma, [steps, columns].
        batch: B, [steps, columns].
        steps: Steps since the measurement before, [steps, columns].
    """
    columns = signal.shape[1]
    parts = np.full(batch.shape, float(PARTS))
    n = filter_bank.WARM_UP
    bank = filter_bank.start(signal[:n], trace[:n], batch[:n], parts[:n], steps[:n])
    found = np.empty((3, len(CHECKPOINTS), columns))
    place = {int(step): index for index, step in enumerate(CHECKPOINTS)}
    for step in range(n + 1, len(signal) + 1):
        row = step - 1
        filter_bank.update(bank, signal[row], trace[row], batch[row], parts[row], steps[row])
        if step in place:
            for end, probability in enumerate((0.025, 0.5, 0.975)):
                found[end, place[step]] = bank.quantile(probability) / bank.b0
    return found


def horizon_answers(signal: Array, trace: Array, horizon: int, checkpoints: Array) -> Array:
    """1/B_simple: (lower, ratio, upper) at the checkpoints, [3, checkpoints, columns].

    Fieller's set, widened for the correlation of neighbours where it is positive, as the package's horizons do it.
    """
    beta = (horizon - 1) / (horizon + 1)
    sums, pairs = np.zeros((5, signal.shape[1])), np.zeros((8, signal.shape[1]))
    found = np.empty((3, len(checkpoints), signal.shape[1]))
    place = {int(step): index for index, step in enumerate(checkpoints)}
    q_before, s_before = signal[0], trace[0]
    for step, (q, s) in enumerate(zip(signal, trace, strict=True), start=1):
        sums *= beta
        sums += (q, s, q * q, q * s, s * s)
        if step > 1:
            pairs *= beta
            pairs += (q * q_before, q * s_before, s * q_before, s * s_before, q, s, q_before, s_before)
        q_before, s_before = q, s
        if step not in place:
            continue
        total = (1 - beta**step) / (1 - beta)
        squares = (1 - beta ** (2 * step)) / (1 - beta**2) / total**2
        q_mean, s_mean, qq, qs, ss = sums / total
        v_q, v_qs, v_s = qq - q_mean**2, qs - q_mean * s_mean, ss - s_mean**2
        x = q_mean / s_mean
        q_q, q_s, s_q, s_s, q_later, s_later, q_earlier, s_earlier = pairs / ((1 - beta ** (step - 1)) / (1 - beta))
        product = q_q - x * (q_s + s_q) + x * x * s_s - (q_later - x * s_later) * (q_earlier - x * s_earlier)
        rho = np.clip(product / (v_q - 2 * x * v_qs + x * x * v_s), 0, 0.99)
        factor = squares / (1 - squares) * (1 + rho) / (1 - rho) * student_t.ppf(0.975, 1 / squares - 1) ** 2
        a, b, c = s_mean**2 - factor * v_s, q_mean * s_mean - factor * v_qs, q_mean**2 - factor * v_q
        root = np.sqrt(np.maximum(b * b - a * c, 0))
        found[:, place[step]] = (b - root) / a, x, (b + root) / a
    return found


def lepski_intervals(by_horizon: Array) -> Array:
    """From the shortest up: the longest whose interval still overlaps those of all shorter ones."""
    chosen = by_horizon[0].copy()
    low, high = chosen[0].copy(), chosen[2].copy()
    going = np.ones(low.shape, dtype=bool)
    for candidate in by_horizon[1:]:
        # overlapping all shorter ones is meeting the highest lower and the lowest upper bound of them
        going = going & (candidate[0] <= high) & (candidate[2] >= low)
        chosen = np.where(going, candidate, chosen)
        low, high = np.maximum(low, candidate[0]), np.minimum(high, candidate[2])
    return chosen


def scores(inverse: Array, truth: Array) -> dict[str, float]:
    """Coverage, median |log error|, median log(high/low), share without an upper bound, of all and where B_simple <= 4 B.

    Args:
        inverse: (lower, middle, upper) of 1/B_simple, [3, checkpoints, seeds].
        truth: B_simple at the checkpoints, [checkpoints].
    """
    lower, middle, upper = inverse
    x = 1 / truth[:, None]
    small = truth <= 4 * BATCH
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.where(middle > 0, np.abs(np.log(middle / x)), np.inf)
        width = np.where((lower > 0) & (upper > 0), np.log(upper / lower), np.inf)
    return {
        "coverage": float(np.mean((lower <= x) & (x <= upper))),
        "median_absolute_log_error": float(np.median(error)),
        "median_log_width": float(np.median(width)),
        "unbounded": float(np.mean(lower <= 0)),
        "unbounded_below_4_b": float(np.mean(lower[small] <= 0)) if small.any() else float("nan"),
    }


def intervals(seeds: range) -> dict[str, Array]:
    """1/B_simple: (lower, middle, upper) at the checkpoints by estimator, [3, checkpoints, runs, seeds]."""
    signal, trace = (values.reshape(STEPS, -1) for values in simulate(RUNS, seeds))
    batch = np.repeat(np.stack([run.batches() for run in RUNS], axis=1), len(seeds), axis=1)
    steps = np.repeat(np.stack([run.intervals() for run in RUNS], axis=1), len(seeds), axis=1)
    shape = (3, len(CHECKPOINTS), len(RUNS), len(seeds))
    by_horizon = np.stack([horizon_answers(signal, trace, horizon, CHECKPOINTS) for horizon in HORIZONS])
    found = {"filter": filter_intervals(signal, trace, batch, steps), "lepski": lepski_intervals(by_horizon)}
    found |= {f"horizon {horizon}": found for horizon, found in zip(HORIZONS, by_horizon, strict=True)}
    return {name: values.reshape(shape) for name, values in found.items()}


def experiment(seeds: range, *, progress: bool = False) -> dict[str, dict[str, dict[str, float]]]:
    """Scores by run and estimator."""
    # a few seeds at a time, for the memory that they take
    blocks = []
    for first in range(0, len(seeds), 25):
        blocks.append(intervals(seeds[first : first + 25]))
        if progress:
            print(f"{min(first + 25, len(seeds))} of {len(seeds)} seeds", file=sys.stderr, flush=True)
    estimators = {name: np.concatenate([block[name] for block in blocks], axis=3) for name in blocks[0]}
    return {
        run.name: {
            name: scores(values[:, :, row], run.truth()[CHECKPOINTS - 1]) for name, values in estimators.items()
        }
        for row, run in enumerate(RUNS)
    }


def table(results: dict[str, dict[str, dict[str, float]]], runs: list[Run]) -> str:
    """Markdown, of some of the runs: coverage / median |log error| / median log(high/low) / unbounded."""

    def cell(score: dict[str, float]) -> str:
        return (
            f"{score['coverage']:.3f} / {score['median_absolute_log_error']:.3f} / "
            f"{score['median_log_width']:.2f} / {score['unbounded']:.2f}"
        )

    lines = ["| run | Lepski | this filter | best fixed horizon |", "|---|---|---|---|"]
    for run in (some.name for some in runs):
        by_estimator = results[run]
        fixed = {name: score for name, score in by_estimator.items() if name.startswith("horizon")}
        best = min(fixed, key=lambda name: fixed[name]["median_absolute_log_error"])
        lines.append(
            f"| {run} | {cell(by_estimator['lepski'])} | {cell(by_estimator['filter'])} "
            f"| {best.removeprefix('horizon ')}: {cell(fixed[best])} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Prints the two tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=200, help="runs of each kind (200)")
    parser.add_argument("--json", type=Path, help="write every number here")
    arguments = parser.parse_args()
    results = experiment(range(60_000, 60_000 + arguments.seeds), progress=True)
    print(f"Tuned on:\n\n{table(results, TUNED_ON)}\n\nHeld out:\n\n{table(results, HELD_OUT)}")
    if arguments.json is not None:
        rounded = {
            run: {
                name: {key: round(value, 4) if np.isfinite(value) else None for key, value in score.items()}
                for name, score in row.items()
            }
            for run, row in results.items()
        }
        arguments.json.write_text(
            json.dumps({"seeds": arguments.seeds, "runs": rounded}, indent=1, ensure_ascii=False) + "\n"
        )


if __name__ == "__main__":
    main()
