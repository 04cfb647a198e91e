"""Simulated training runs with a known noise scale at every step.

200 dimensions with noise variances lambda_i proportional to 1/i that sum to tr Sigma = 1; the gradient lies along u/|u|
with u_i normal of variance lambda_i, and |G|^2 = 1/B_simple(x), x the share of the run's steps that are done. A step has
K parts of b = B/K units.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.signal import lfilter

Array = np.ndarray

STEPS = 4000
BATCH = 256
PARTS = 8
DIMENSIONS = 200


@dataclass(frozen=True)
class Run:
    """What a run does over x, the share of its steps that are done."""

    name: str
    b_simple: Callable[[Array], Array]
    #: |G|^2 swings by exp(.7 z) from step to step
    swinging: bool = False
    #: degrees of Student's t; None: normal
    degrees: int | None = None
    #: autocorrelation of neighbouring measurements' errors
    correlation: float = 0.0
    #: B at each share of the run's measurements
    batch: Callable[[Array], Array] = lambda share: np.full(len(share), float(BATCH))
    #: steps from one measurement to the next, at each share of the run's measurements
    every: Callable[[Array], Array] = lambda share: np.ones(len(share))
    #: of all squared norms, at each share of the run's measurements
    scale: Callable[[Array], Array] = lambda share: np.ones(len(share))

    def batches(self, steps: int = STEPS) -> Array:
        """B of each measurement, [steps]."""
        return self.batch(np.arange(steps) / steps)

    def intervals(self, steps: int = STEPS) -> Array:
        """Steps since the measurement before, [steps]."""
        return self.every(np.arange(steps) / steps)

    def _plain(self, steps: int) -> Array:
        done = np.cumsum(self.intervals(steps))
        return self.b_simple(done / done[-1]) * np.ones(steps)

    def signal(self, steps: int) -> Array:
        """|G|^2 before it swings, [steps]."""
        return 1 / self._plain(steps)

    def truth(self, steps: int = STEPS) -> Array:
        """tr Sigma over the mean |G|^2 at each measurement, [steps]."""
        truth = self._plain(steps)
        return truth / np.exp(0.7**2 / 2) if self.swinging else truth


def _plus(run: Run) -> Run:
    return replace(run, name=f"{run.name} +", swinging=True)


def _constant(value: float) -> Callable[[Array], Array]:
    return lambda x: value + 0 * x


def _saturating(x: Array) -> Array:
    return 50 + 3000 * (1 - np.exp(-6 * x))


def _growing(x: Array) -> Array:
    return 100 * 30.0**x


def _falling(x: Array) -> Array:
    return 3000 * 30.0**-x


def _jump(x: Array) -> Array:
    return np.where(x < 0.5, 200.0, 1600.0)


def _two_jumps(x: Array) -> Array:
    return np.where(x < 1 / 3, 200.0, np.where(x < 2 / 3, 1600.0, 400.0))


def _hump(x: Array) -> Array:
    return 200 * np.exp(2 * np.exp(-(((x - 0.5) / 0.15) ** 2)))


def _valley(x: Array) -> Array:
    return 1500 * np.exp(-2 * np.exp(-(((x - 0.6) / 0.1) ** 2)))


def _zigzag(x: Array) -> Array:
    return 200 * 8.0 ** np.abs(2 * np.mod(1.5 * x + 0.5, 1) - 1)


def _logistic(x: Array) -> Array:
    return 150 * 10.0 ** (1 / (1 + np.exp(-(x - 0.4) / 0.05)))


def _wave(frequency: float) -> Callable[[Array], Array]:
    return lambda x: 500 * np.exp(0.8 * np.sin(frequency * x))


def _two_sines(x: Array) -> Array:
    return 400 * np.exp(0.5 * np.sin(7 * x) + 0.4 * np.sin(17 * x + 1))


#: the filter's constants were chosen on these
TUNED_ON = [
    Run("constant 256", _constant(256)),
    Run("constant 4096", _constant(4096)),
    Run("100·30^x", _growing),
    _plus(Run("100·30^x", _growing)),
    Run("jump 200 → 1600", _jump),
    _plus(Run("jump 200 → 1600", _jump)),
    Run("saturating", _saturating),
    _plus(Run("saturating", _saturating)),
    Run("Student t, 5 degrees", _constant(256), degrees=5),
    Run("Student t, 3 degrees", _constant(256), degrees=3),
    Run("falling 3000 → 100", _falling),
    Run("500·exp(.8 sin 12x)", _wave(12)),
    Run("hump 200 → 1478 → 200", _hump),
    Run("200 → 1600 → 400", _two_jumps),
    Run("constant 256, AR(1) .8", _constant(256), correlation=0.8),
    _plus(Run("500·exp(.7 sin(20x + 1))", lambda x: 500 * np.exp(0.7 * np.sin(20 * x + 1)))),
    Run("200·exp(.6 sin 30x)", lambda x: 200 * np.exp(0.6 * np.sin(30 * x))),
    Run("sawtooth 1500 → 300", lambda x: 1500 * 5.0 ** -np.mod(3 * x, 1)),
    Run("100·30^x, B doubles twice", _growing, batch=lambda share: 128 * 2.0 ** np.floor(3 * share)),
    Run("100·30^x, every 1 → 4", _growing, every=lambda share: np.where(share < 0.5, 1.0, 4.0)),
]
#: nothing was chosen on these
HELD_OUT = [
    Run("constant 1000", _constant(1000)),
    _plus(Run("constant 1000", _constant(1000))),
    Run("500·exp(.8 sin 25x)", _wave(25)),
    _plus(Run("500·exp(.8 sin 25x)", _wave(25))),
    _plus(Run("500·exp(.8 sin 12x)", _wave(12))),
    _plus(Run("hump 200 → 1478 → 200", _hump)),
    Run("valley 1500 → 203 → 1500", _valley),
    _plus(Run("valley 1500 → 203 → 1500", _valley)),
    Run("zigzag 200 ↔ 1600", _zigzag),
    _plus(Run("zigzag 200 ↔ 1600", _zigzag)),
    Run("logistic 150 → 1500", _logistic),
    _plus(Run("logistic 150 → 1500", _logistic)),
    _plus(Run("falling 3000 → 100", _falling)),
    Run("drop 1500 → 250", lambda x: np.where(x < 0.6, 1500.0, 250.0)),
    _plus(Run("200 → 1600 → 400", _two_jumps)),
    Run("100·30^x, t 3", _growing, degrees=3),
    Run("constant 1000, AR(1) .8", _constant(1000), correlation=0.8),
    Run("100·30^x, AR(1) .8", _growing, correlation=0.8),
    Run("constant 1000, B halves twice", _constant(1000), batch=lambda share: 512 * 0.5 ** np.floor(3 * share)),
    Run("sin 12x, B 256 ↔ 512", _wave(12), batch=lambda share: np.where(np.floor(5 * share) % 2 == 0, 256.0, 512.0)),
    Run("falling 3000 → 100, every 8 → 1", _falling, every=lambda share: np.where(share < 0.3, 8.0, 1.0)),
    Run("stairs 150 → 300 → 600 → 1200", lambda x: 150 * 2.0 ** np.floor(4 * x)),
    Run("300, from the middle on to 2400", lambda x: 300 * 8.0 ** np.maximum(2 * x - 1, 0)),
    Run("sawtooth 200 → 1200", lambda x: 200 * 6.0 ** np.mod(3 * x, 1)),
    Run("2000·(.02 + x)^.7", lambda x: 2000 * (0.02 + x) ** 0.7),
    Run("two sines", _two_sines),
    _plus(Run("two sines", _two_sines)),
    Run("fading wave", lambda x: 400 * np.exp(0.9 * np.exp(-2 * x) * np.sin(20 * x))),
    Run("constant 600, squares fall 1000-fold", _constant(600), scale=lambda share: 1000.0**-share),
    Run("100·30^x, squares rise 10-fold", _growing, scale=lambda share: 10.0**share),
    _plus(Run("constant 400, t 3", _constant(400), degrees=3)),
    Run("hump, AR(1) .6", _hump, correlation=0.6),
    Run("chirp", lambda x: 400 * np.exp(0.7 * np.sin(6 / (0.15 + x)))),
    _plus(Run("chirp", lambda x: 400 * np.exp(0.7 * np.sin(6 / (0.15 + x))))),
    Run("narrow hump 300 → 1345 → 300", lambda x: 300 * np.exp(1.5 * np.exp(-(((x - 0.4) / 0.06) ** 2)))),
    Run("1000·exp(.6 sin 18x)", lambda x: 1000 * np.exp(0.6 * np.sin(18 * x))),
    _plus(Run("triangle 300 ↔ 900", lambda x: 300 * 3.0 ** np.abs(2 * np.mod(4 * x, 1) - 1))),
]
RUNS = TUNED_ON + HELD_OUT


@dataclass(frozen=True)
class Noise:
    """What a step's two squared norms need of its noise at B = BATCH, [steps] each.

    With eps_k the noise of part k and m their mean: along = m . G/|G|, squared = |m|^2, spread = mean_k |eps_k - m|^2.
    """

    along: Array
    squared: Array
    spread: Array
    swing: Array


def draw_noise(seed: int, *, degrees: int | None, steps: int = STEPS, batch: int = BATCH, parts: int = PARTS) -> Noise:
    """Noise of one run. For normal noise spread is drawn as the sum of chi-squares that it is."""
    rng = np.random.default_rng([seed, degrees or 0])
    variance = 1 / np.arange(1, DIMENSIONS + 1)
    variance /= variance.sum()
    direction = rng.standard_normal(DIMENSIONS) * np.sqrt(variance)
    direction /= np.linalg.norm(direction)
    swing = rng.standard_normal(steps)
    sd = np.sqrt(variance * parts / batch)
    if degrees is not None:
        along, squared, spread = np.empty(steps), np.empty(steps), np.empty(steps)
        scale = sd / np.sqrt(degrees / (degrees - 2))
        for block in np.array_split(np.arange(steps), max(1, steps // 250)):
            noise = rng.standard_t(degrees, (len(block), parts, DIMENSIONS)) * scale
            mean = noise.mean(axis=1)
            along[block] = mean @ direction
            squared[block] = (mean**2).sum(axis=1)
            spread[block] = (noise**2).sum(axis=2).mean(axis=1) - squared[block]
        return Noise(along, squared, spread, swing)
    mean = rng.standard_normal((steps, DIMENSIONS)) * (sd / np.sqrt(parts))
    spread = 2 * rng.standard_gamma((parts - 1) / 2, (steps, DIMENSIONS)) @ (sd**2 / parts)
    return Noise(mean @ direction, (mean**2).sum(axis=1), spread, swing)


def _correlated(values: Array, mean: float, correlation: float) -> Array:
    """Stationary AR(1) around the mean, with the variance of the independent values."""
    off = values - mean
    innovations = off * np.sqrt(1 - correlation**2)
    innovations[0] = off[0]
    return mean + lfilter([1.0], [1.0, -correlation], innovations)


def correlate(noise: Noise, correlation: float, *, batch: int = BATCH, parts: int = PARTS) -> Noise:
    """The same noise with each of its numbers correlated with its neighbours; the swing stays as it is."""
    return Noise(
        _correlated(noise.along, 0.0, correlation),
        _correlated(noise.squared, 1 / batch, correlation),
        _correlated(noise.spread, (parts - 1) / batch, correlation),
        noise.swing,
    )


def squared_norms(run: Run, noise: Noise) -> tuple[Array, Array]:
    """Mean squared norm of the parts and squared norm of their mean, [steps] each."""
    if run.correlation:
        noise = correlate(noise, run.correlation)
    steps = len(noise.along)
    scale = BATCH / run.batches(steps)
    signal = run.signal(steps)
    if run.swinging:
        signal = signal * np.exp(0.7 * noise.swing)
    big = signal + 2 * np.sqrt(signal * scale) * noise.along + scale * noise.squared
    whole = run.scale(np.arange(steps) / steps)
    return whole * (big + scale * noise.spread), whole * big
