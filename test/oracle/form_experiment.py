"""The headline filter on other quadratic forms than |g|^2: g'Hg, which gives B_noise, and g'Pg, Adam's metric.

    python test/oracle/form_experiment.py

Gradients as in simulated_runs.py. The forms are diagonal there:
    curvature    h_i = lambda_i, as near the optimum of a likelihood, where the Hessian is the gradients' covariance
    saddle       the same, every third h_i times -2, and each measurement's h_i off by a third of itself (another batch's)
    metric       1/(sqrt(v_i) + 1e-8), v_i = G_i^2 + lambda_i/B: what Adam's second moments settle at
All parts' forms, or, where the cost of a product for each part is too much, one form of their randomly signed sum: its
expectation is the same. |G| is such that the form's noise scale is the trajectory's.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import filter_bank
import numpy as np
from filter_experiment import CHECKPOINTS, HORIZONS, horizon_answers, scores
from noise_scale import one_step
from simulated_runs import BATCH, DIMENSIONS, PARTS, STEPS

Array = np.ndarray

VARIANCE = 1 / np.arange(1, DIMENSIONS + 1)
VARIANCE /= VARIANCE.sum()
SADDLE = VARIANCE * np.where(np.arange(DIMENSIONS) % 3 == 2, -2.0, 1.0)


@dataclass(frozen=True)
class Form:
    """A diagonal form."""

    name: str
    #: of G's squared coordinates, [DIMENSIONS]
    weights: Callable[[Array], Array]
    #: relative standard deviation of each weight in each measurement
    error: float = 0.0
    signed_sum: bool = False


FORMS = [
    Form("|g|²", np.ones_like),
    Form("metric", lambda squares: 1 / (np.sqrt(squares + VARIANCE / BATCH) + 1e-8)),
    Form("curvature", lambda _: VARIANCE),
    Form("curvature, signed sum", lambda _: VARIANCE, signed_sum=True),
    Form("saddle", lambda _: SADDLE, error=1 / 3),
    Form("saddle, signed sum", lambda _: SADDLE, error=1 / 3, signed_sum=True),
]
TRAJECTORIES: dict[str, Callable[[Array], Array]] = {
    "constant 256": lambda x: 256 + 0 * x,
    "100·30^x": lambda x: 100 * 30.0**x,
    "500·exp(.8 sin 12x)": lambda x: 500 * np.exp(0.8 * np.sin(12 * x)),
}


def direction(rng: np.random.Generator) -> Array:
    """Of G, [DIMENSIONS], with a positive curvature in the saddle too, as a direction of descent has it."""
    while True:
        drawn = rng.standard_normal(DIMENSIONS) * np.sqrt(VARIANCE)
        drawn /= np.linalg.norm(drawn)
        if drawn**2 @ SADDLE > 0.5 * VARIANCE @ SADDLE:
            return drawn


def simulate(seed: int) -> tuple[Array, Array]:
    """One-step estimates of the form of G and of its trace with Sigma, [forms, trajectories, steps] each."""
    rng = np.random.default_rng([80_000, seed])
    unit = direction(rng)
    x = np.arange(STEPS) / STEPS
    small, big = np.empty((2, len(FORMS), len(TRAJECTORIES), STEPS))
    for block in np.array_split(np.arange(STEPS), STEPS // 250):
        noise = rng.standard_normal((len(block), PARTS, DIMENSIONS)) * np.sqrt(VARIANCE * PARTS / BATCH)
        signs = rng.choice([-1.0, 1.0], (len(block), PARTS))
        mean, summed = noise.mean(axis=1), np.einsum("tk,tkd->td", signs, noise) / np.sqrt(PARTS)
        errors = rng.standard_normal((len(block), DIMENSIONS))
        for row, form in enumerate(FORMS):
            for column, b_simple in enumerate(TRAJECTORIES.values()):
                size = np.sqrt(1 / b_simple(x[block]))[:, None] * np.ones((1, 1))
                # Adam's weights depend on |G|: of the run's first step
                weights = form.weights(unit**2 / b_simple(np.zeros(1)))
                ratio = (weights @ VARIANCE) / (weights @ unit**2)
                gradient = size * np.sqrt(ratio) * unit
                used = weights * (1 + form.error * errors)
                big[row, column, block] = (used * (gradient + mean) ** 2).sum(axis=1)
                if form.signed_sum:
                    total = signs.sum(axis=1, keepdims=True) / np.sqrt(PARTS) * gradient + summed
                    small[row, column, block] = (used * total**2).sum(axis=1)
                else:
                    parts = (noise**2).mean(axis=1) + 2 * gradient * mean + gradient**2
                    small[row, column, block] = (used * parts).sum(axis=1)
    return one_step(small, big, BATCH / PARTS, BATCH)


def follow(signal: Array, trace: Array) -> Array:
    """1/B (lower, middle, upper) at the checkpoints, [3, checkpoints, seeds]."""
    seeds = signal.shape[1]
    batch, parts, steps = (np.full(seeds, float(value)) for value in (BATCH, PARTS, 1))
    n = filter_bank.WARM_UP
    bank = filter_bank.start(signal[:n], trace[:n], *(np.stack([one] * n) for one in (batch, parts, steps)))
    found = np.empty((3, len(CHECKPOINTS), seeds))
    place = {int(step): index for index, step in enumerate(CHECKPOINTS)}
    for step in range(n + 1, STEPS + 1):
        filter_bank.update(bank, signal[step - 1], trace[step - 1], batch, parts, steps)
        if step in place:
            found[:, place[step]] = [bank.quantile(p) / bank.b0 for p in (0.025, 0.5, 0.975)]
    return found


def cell(found: Array, truth: Array) -> str:
    """Coverage / median |log error| / median log(high/low) / share without an upper bound."""
    score = scores(found, truth)
    return (
        f"{score['coverage']:.3f} / {score['median_absolute_log_error']:.3f} / "
        f"{score['median_log_width']:.2f} / {score['unbounded']:.2f}"
    )


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=8, help="runs of each kind (8)")
    seeds = parser.parse_args().seeds
    signal, trace = (np.stack(values, axis=-1) for values in zip(*(simulate(seed) for seed in range(seeds))))
    print("| form | run | at once | the filter | best fixed horizon |\n|---|---|---|---|---|")
    for row, form in enumerate(FORMS):
        for column, (name, b_simple) in enumerate(TRAJECTORIES.items()):
            q, s = signal[row, column], trace[row, column]
            # the others wait: their first measurements have no positive mean of tr(H Sigma)
            begun = s[: filter_bank.WARM_UP].mean(axis=0) > 0
            q, s = q[:, begun], s[:, begun]
            truth = b_simple(CHECKPOINTS / STEPS - 1 / STEPS)
            fixed = {h: horizon_answers(q, s, h, CHECKPOINTS) for h in HORIZONS}
            best = min(fixed, key=lambda h: scores(fixed[h], truth)["median_absolute_log_error"])
            print(
                f"| {form.name} | {name} | {begun.mean():.2f} | {cell(follow(q, s), truth)} "
                f"| {best}: {cell(fixed[best], truth)} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
