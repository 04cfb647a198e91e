"""Simulated training runs with a known noise scale at every step.

200 dimensions with noise variances lambda_i proportional to 1/i that sum to tr Sigma = 1; the gradient lies along u/|u|
with u_i normal of variance lambda_i, and |G|^2 = 1/B_simple(x), x = t/steps. A step has K parts of b = B/K units.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Array = np.ndarray

STEPS = 4000
BATCH = 256
PARTS = 8
DIMENSIONS = 200


@dataclass(frozen=True)
class Run:
    """B_simple over x = t/steps, whether |G|^2 swings by exp(.7 z) from step to step, and whether tails are heavy."""

    name: str
    b_simple: Callable[[Array], Array]
    swinging: bool = False
    heavy_tails: bool = False

    def truth(self, steps: int = STEPS) -> Array:
        """tr Sigma over the mean |G|^2 at each step, [steps]."""
        x = np.arange(1, steps + 1) / steps
        truth = self.b_simple(x) * np.ones(steps)
        return truth / np.exp(0.7**2 / 2) if self.swinging else truth


def _saturating(x: Array) -> Array:
    return 50 + 3000 * (1 - np.exp(-6 * x))


def _growing(x: Array) -> Array:
    return 100 * 30.0**x


def _jump(x: Array) -> Array:
    return np.where(x < 0.5, 200.0, 1600.0)


RUNS = [
    Run("constant 256", lambda x: 256 + 0 * x),
    Run("constant 4096", lambda x: 4096 + 0 * x),
    Run("100·30^x", _growing),
    Run("100·30^x +", _growing, swinging=True),
    Run("jump 200 → 1600", _jump),
    Run("jump 200 → 1600 +", _jump, swinging=True),
    Run("saturating", _saturating),
    Run("saturating +", _saturating, swinging=True),
    Run("Student t, 5 degrees", lambda x: 256 + 0 * x, heavy_tails=True),
    Run("falling 3000 → 100", lambda x: 3000 * 30.0**-x),
    Run("500·exp(.8 sin 12x)", lambda x: 500 * np.exp(0.8 * np.sin(12 * x))),
    Run("200 → 1600 → 400", lambda x: np.where(x < 1 / 3, 200.0, np.where(x < 2 / 3, 1600.0, 400.0))),
]


@dataclass(frozen=True)
class Noise:
    """What a step's two squared norms need of its noise, [steps] each.

    With eps_k the noise of part k and m their mean: along = m . G/|G|, squared = |m|^2, spread = mean_k |eps_k - m|^2.
    """

    along: Array
    squared: Array
    spread: Array
    swing: Array


def draw_noise(seed: int, *, heavy_tails: bool, steps: int = STEPS, batch: int = BATCH, parts: int = PARTS) -> Noise:
    """Noise of one run. For normal noise spread is drawn as the sum of chi-squares that it is."""
    rng = np.random.default_rng([seed, int(heavy_tails)])
    variance = 1 / np.arange(1, DIMENSIONS + 1)
    variance /= variance.sum()
    direction = rng.standard_normal(DIMENSIONS) * np.sqrt(variance)
    direction /= np.linalg.norm(direction)
    swing = rng.standard_normal(steps)
    sd = np.sqrt(variance * parts / batch)
    if heavy_tails:
        along, squared, spread = np.empty(steps), np.empty(steps), np.empty(steps)
        for block in np.array_split(np.arange(steps), max(1, steps // 250)):
            # variance of Student's t with 5 degrees: 5/3
            noise = rng.standard_t(5, (len(block), parts, DIMENSIONS)) * (sd / np.sqrt(5 / 3))
            mean = noise.mean(axis=1)
            along[block] = mean @ direction
            squared[block] = (mean**2).sum(axis=1)
            spread[block] = (noise**2).sum(axis=2).mean(axis=1) - squared[block]
        return Noise(along, squared, spread, swing)
    mean = rng.standard_normal((steps, DIMENSIONS)) * (sd / np.sqrt(parts))
    spread = 2 * rng.standard_gamma((parts - 1) / 2, (steps, DIMENSIONS)) @ (sd**2 / parts)
    return Noise(mean @ direction, (mean**2).sum(axis=1), spread, swing)


def squared_norms(run: Run, noise: Noise) -> tuple[Array, Array]:
    """Mean squared norm of the parts and squared norm of their mean, [steps] each."""
    x = np.arange(1, len(noise.along) + 1) / len(noise.along)
    signal = 1 / (run.b_simple(x) * np.ones(len(x)))
    if run.swinging:
        signal = signal * np.exp(0.7 * noise.swing)
    big = signal + 2 * np.sqrt(signal) * noise.along + noise.squared
    return big + noise.spread, big
