"""Learning rate, batch size and loss of a run: the temperature, steps of the settings, the power law, the schedule."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.integrate import quad
from scipy.stats import linregress

Array = np.ndarray
Json = dict[str, object]

NOW, MEMORY = 16, 100
#: the recommendation's hysteresis
FACTOR = 1.25
SIDE = 4
#: the share of the memory's temperature below which nothing is trained any more
STILL = 1e-4


def horizon_mean(values: Array, horizon: int) -> float:
    """Mean with weights beta^age, beta = (h - 1)/(h + 1)."""
    weight = ((horizon - 1) / (horizon + 1)) ** np.arange(len(values) - 1, -1, -1.0)
    return float(weight @ values / weight.sum())


def held_back(rates: Array, sizes: Array, power: float) -> list[bool]:
    """After each measurement: rate/size^power of the last 16 and of the last 100 are further apart than the hysteresis, the first not nothing."""

    def temperature(n: int, horizon: int) -> float:
        return horizon_mean(rates[:n], horizon) / horizon_mean(sizes[:n], horizon) ** power

    factors = [temperature(n, NOW) / temperature(n, MEMORY) for n in range(1, len(rates) + 1)]
    return [factor > FACTOR or STILL < factor < 1 / FACTOR for factor in factors]


def setting_changes(values: Array) -> list[int]:
    """Places at which four values and the four before stand further apart than either spreads, and than the hysteresis."""
    found = []
    for i in range(SIDE, len(values) - SIDE + 1):
        if values[i - SIDE : i + SIDE].min() == 0:
            continue  # nothing is a multiple of 0
        before, after = np.sort(np.log(values[i - SIDE : i])), np.sort(np.log(values[i : i + SIDE]))
        low, high = (before, after) if after.mean() > before.mean() else (after, before)
        if high[0] - low[-1] > max(math.log(FACTOR), np.ptp(before), np.ptp(after)):
            found.append(i)
    return found


def settings_reference() -> list[Json]:
    """Schedules, whether the recommendation is held back after each measurement, and where a setting stepped."""
    n = 500
    step = np.arange(n)
    rng = np.random.default_rng(31)
    uneven = np.round(256 * (1 + 0.1 * rng.standard_normal(n)))
    uneven[39::40] = 16
    doubled = np.where(step < 250, 128.0, 256.0)
    warm = 0.1 * np.minimum((step + 1) / 100, 1)
    cosine = 0.5 * (1 + np.cos(np.pi * step / n)) + 1e-6
    schedules = {
        "warm-up and cosine": (warm * cosine, np.full(n, 64.0)),
        "a cut to a tenth": (np.where(step < 250, 0.1, 0.01), np.full(n, 64.0)),
        "a cut by a seventh": (np.where(step < 250, 0.1, 0.086), np.full(n, 64.0)),
        "a rate of 0 from the middle on": (np.where(step < 250, 0.1, 0.0), np.full(n, 64.0)),
        "uneven batches": (np.full(n, 0.1), uneven),
        "batch doubled, rate as it was": (np.full(n, 0.1), doubled),
        "batch doubled with its rate": (0.1 * doubled / 128, doubled),
        "batch doubled with the root of its rate": (0.1 * np.sqrt(doubled / 128), doubled),
        "staircase through a decay": (0.1 * 0.999**step * 0.5 ** (step // 100), np.full(n, 64.0)),
    }
    return [
        {
            "schedule": name,
            "optimizer": optimizer,
            "rates": [float(f"{rate:.9g}") for rate in rates],
            "sizes": sizes.tolist(),
            "held_back": [int(held) for held in held_back(rates, sizes, 0.5 if optimizer == "adam" else 1.0)],
            "rate_changes": setting_changes(rates),
            "size_changes": setting_changes(sizes),
        }
        for name, (rates, sizes) in schedules.items()
        for optimizer in ("sgd", "adam")
    ]


def loss_parts(loss: Array, noise: Array) -> tuple[Array, Array]:
    """Mean losses and geometric mean noise scales of up to 32 parts of at least 8 measurements."""
    loss, noise = loss[loss > 0], noise[loss > 0]
    parts = min(32, len(loss) // 8)
    ends = [math.floor(part * len(loss) / parts + 0.5) for part in range(parts + 1)]
    pieces = [slice(start, end) for start, end in zip(ends[:-1], ends[1:], strict=True)]
    mean_loss = np.array([loss[piece].mean() for piece in pieces])
    return mean_loss, np.array([np.exp(np.log(noise[piece]).mean()) for piece in pieces])


def foretold_share(x: Array, y: Array) -> float:
    """1 less the squared error of each y by the line through the others, over the spread of y."""
    errors = []
    for i in range(len(x)):
        others = linregress(np.delete(x, i), np.delete(y, i))
        errors.append(y[i] - others.intercept - others.slope * x[i])
    return float(1 - np.mean(np.square(errors)) / y.var())


def power_law_reference() -> list[Json]:
    """Runs and the power law through their parts; null where none holds."""
    rng = np.random.default_rng(32)
    cases = []
    for n, exponent, scatter, spread in ((400, 2.0, 0.1, 3.0), (90, 0.7, 0.3, 1.5), (200, 1.0, 0.8, 0.3), (160, -1, 0.1, 2)):
        loss = np.exp(spread * (1 - np.arange(n) / n)) * np.exp(0.2 * rng.standard_normal(n))
        loss[7] = 0
        noise = 300 / np.maximum(loss, 0.1) ** exponent * np.exp(scatter * np.cumsum(rng.standard_normal(n)) / 4)
        loss = np.array([float(f"{value:.9g}") for value in loss])
        noise = np.array([float(f"{value:.9g}") for value in noise])
        mean_loss, mean_noise = loss_parts(loss, noise)
        line = linregress(np.log(mean_loss), np.log(mean_noise))
        foretold = foretold_share(np.log(mean_loss), np.log(mean_noise))
        holds = line.slope < 0 and foretold >= 0.5
        residual = np.log(mean_noise) - line.intercept - line.slope * np.log(mean_loss)
        cases.append(
            {
                "loss": loss.tolist(),
                "noise_scale": noise.tolist(),
                "parts": len(mean_loss),
                "law": {
                    "noise_scale_at_one": math.exp(line.intercept),
                    "alpha": -1 / line.slope,
                    "foretold": foretold,
                    "rms_log_residual": math.sqrt((residual**2).mean()),
                }
                if holds
                else None,
            }
        )
    return cases


def schedule_reference() -> list[Json]:
    """What following a noise scale 100·s^p costs over 0 < s < 1, by integrating the steps and units of sqrt(r B(s))."""
    cases = []
    for power in (0.0, 0.5, 1.0, 2.0):
        noise: Callable[[float], float] = lambda s, power=power: 100 * s**power
        least_units = quad(noise, 0, 1)[0]
        gain = quad(lambda s: math.sqrt(noise(s)), 0, 1)[0] ** 2 / least_units
        for ratio in (20.0, 100.0, 900.0):
            # a step at batch B makes B/(B + noise) of the progress of a least step
            steps = quad(lambda s: 1 + math.sqrt(noise(s) / ratio), 0, 1)[0]
            units = quad(lambda s: math.sqrt(ratio * noise(s)) + noise(s), 0, 1)[0]
            cases.append(
                {
                    "power": power,
                    "gain": gain,
                    "critical_batch_size": least_units,
                    "latency_ratio": ratio,
                    "steps_factor": steps,
                    "units_factor": units / least_units,
                }
            )
    return cases


def adaptive_gain(inverse: Array, units: Array, steps: Array) -> float | None:
    """(int sqrt(B) ds)^2/(int B ds · int ds) over what a run did; its signal counts as 0 where it is negative."""
    x = np.maximum(inverse, 0)
    progress = steps * x * units / (1 + x * units)
    if progress.sum() == 0:
        return None
    # a stretch without signal makes no progress, but its units count
    root = (steps * np.sqrt(x) * units / (1 + x * units)).sum()
    least_units = (steps * units / (1 + x * units)).sum()
    return float(root**2 / (least_units * progress.sum()))
