"""Bank of small Kalman filters on xi = B0 |G|^2 / tr Sigma, for many runs at once.

Written from the equations in packages/statistics/docs/filter.md, apart from the TypeScript filter, which is compared with it.
Arrays are [runs] for what the experts share and [runs, experts] for what each has of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from scipy.special import ndtr

Array = np.ndarray

WARM_UP = 20
# level noise, drift noise, drift standard deviation at a start, drift damping, prior weight, widening
EXPERTS = np.array(
    [
        [0.0, 0.0, 0.0, 0.0, 42.0, 1.0],
        [0.0009, 0.0, 0.0, 0.0, 4.4, 1.0],
        [0.0035, 0.0, 0.0, 0.0, 0.2, 1.0],
        [0.02, 0.0, 0.0, 0.0, 0.55, 1.0],
        [0.07, 0.0, 0.0, 0.0, 0.2, 1.0],
        [0.45, 0.0, 0.0, 0.0, 0.17, 1.0],
        [0.0, 4.3e-6, 0.0024, 1.0, 4.0, 1.05],
        [0.0, 5.3e-5, 0.007, 0.996, 1.6, 1.05],
        [0.0, 3e-4, 0.0007, 0.9965, 0.8, 1.12],
        [0.0, 1.1e-4, 0.00036, 0.9983, 1.5, 1.15],
    ]
)
OMEGA, DRIFT_NOISE, DRIFT_SD, PHI, PRIOR, WIDENING = EXPERTS.T
PRIOR = PRIOR / PRIOR.sum()
SMALLEST_VARIANCE = 1e-12
MOST_OUTLIERS = 4.5
# times the steps between measurements before, over which a drift is carried
MOST_STRETCH = 4.0
# of the weights at the ends of the interval
END_TEMPERING = 0.85


@dataclass
class Bank:
    """State after a number of measurements."""

    count: Array  # [runs], as all of these; without outliers
    b0: Array
    sigma: Array
    r2: Array
    gamma: Array
    a1: Array
    a2: Array
    mean: Array
    variance: Array
    xi: Array  # [runs, experts]
    v: Array
    p: Array
    c: Array
    u: Array
    log_weight: Array
    steps: Array  # [runs]: between the last two measurements
    rho: Array
    inflation: Array
    lag: Array  # means of z z' and z^2, and the last z
    square: Array
    z: Array
    q: Array  # of the last measurement
    s: Array
    m2: Array
    m4: Array
    largest: Array
    row: Array  # outliers in a row, sum of their s
    row_s: Array
    recent: Array  # outliers lately
    outliers: Array
    left_out: Array  # steps

    def quantile(self, probability: float) -> Array:
        """Quantile of each run's mixture of Gaussians, by bisection; for all but the median wider, and tempered."""
        weight = np.exp(self.log_weight * (1 if probability == 0.5 else END_TEMPERING))
        weight = weight / weight.sum(axis=1, keepdims=True)
        sd = np.sqrt(self.p)
        if probability != 0.5:
            heavy = np.clip(np.log(self.m4 / (3 * self.m2**2)) - 1.35, 0, 3)
            sd = sd * WIDENING * (1 + 0.2 * heavy)[:, None]
        low = (self.xi - 12 * sd).min(axis=1)
        high = (self.xi + 12 * sd).max(axis=1)
        for _ in range(70):
            middle = 0.5 * (low + high)
            mass = (weight * ndtr((middle[:, None] - self.xi) / sd)).sum(axis=1)
            low = np.where(mass < probability, middle, low)
            high = np.where(mass < probability, high, middle)
        return 0.5 * (low + high)


def shrink(rho: Array, n: Array | int) -> Array:
    """0 within 1.45 standard errors."""
    threshold = 1.45 / np.sqrt(n)
    above = rho > threshold
    safe = np.where(above, rho, 1.0)
    return np.where(above, np.minimum(safe * (1 - (threshold / safe) ** 2), 0.95), 0.0)


def plausible(q: Array, s: Array, batch: Array) -> Array:
    """Which measurements of one run, [n] each, it can start from: all where too many are outliers."""
    size = abs(s) + batch * abs(q)
    middle = np.sort(size)[len(size) // 2]
    fine = (size <= 100 * middle) | (middle == 0)
    return fine if (~fine).sum() < MOST_OUTLIERS else np.ones(len(size), dtype=bool)


def start(q: Array, s: Array, batch: Array, parts: Array, steps: Array) -> Bank:
    """Step 10: from the first measurements, [WARM_UP, runs] each; the mean of s must be positive."""
    n = len(q)
    b0 = batch[0]
    sigma = s.mean(axis=0)
    if not np.all(sigma > 0):
        raise ValueError("mean of tr Sigma is not positive: the filter waits")
    if not all(plausible(q[:, run], s[:, run], batch[:, run]).all() for run in range(q.shape[1])):
        raise ValueError("an outlier: the filter waits")
    ratio = b0 * q / sigma
    xi = ratio.mean(axis=0)
    variance = ratio.var(axis=0, ddof=1)
    relative = (s / sigma).var(axis=0, ddof=1)
    k = parts.mean(axis=0)
    x = np.maximum(xi, 0.02)
    left = np.maximum(variance - k * relative, variance / 10)
    a1 = np.clip(left / 2 / x, SMALLEST_VARIANCE, 0.45)
    a2 = np.clip(left / 2 / x**2, SMALLEST_VARIANCE, 0.45)
    z = (ratio - xi) / np.sqrt(variance)
    lag = (z[1:] * z[:-1]).sum(axis=0) / (n - 1)
    rho = shrink(lag, n)
    inflation = (1 + rho) / (1 - rho)
    shape = (len(xi), len(PRIOR))
    weight = PRIOR**0.75 / (PRIOR**0.75).sum()
    p = np.broadcast_to(np.maximum(4 * variance / n * inflation, SMALLEST_VARIANCE)[:, None], shape).copy()
    return Bank(
        count=np.full(xi.shape, n),
        b0=b0,
        sigma=sigma,
        r2=relative * (k - 1) / 2,
        gamma=np.ones_like(xi),
        a1=a1,
        a2=a2,
        mean=xi,
        variance=p[:, 0],
        xi=np.broadcast_to(xi[:, None], shape).copy(),
        v=np.zeros(shape),
        p=p,
        c=np.zeros(shape),
        u=np.broadcast_to(DRIFT_SD**2, shape).copy(),
        log_weight=np.broadcast_to(np.log(weight), shape).copy(),
        steps=steps[-1],
        rho=rho,
        inflation=inflation,
        lag=lag,
        square=np.ones_like(xi),
        z=z[-1],
        q=q[-1],
        s=s[-1],
        m2=np.ones_like(xi),
        m4=np.full_like(xi, 3.0),
        largest=np.full_like(xi, 4.0),
        row=np.zeros_like(xi),
        row_s=np.zeros_like(xi),
        recent=np.zeros_like(xi),
        outliers=np.zeros_like(xi),
        left_out=np.zeros_like(xi),
    )


def whiten(bank: Bank, q: Array, s: Array) -> tuple[Array, Array]:
    """Step 1: the measurement without what it shares with the one before; the experts as the new correlation has them."""
    inflation = (1 + bank.rho) / (1 - bank.rho)
    ratio = inflation / bank.inflation
    bank.inflation = inflation
    bank.p, bank.c, bank.u = (values * ratio[:, None] for values in (bank.p, bank.c, bank.u))
    bank.variance = bank.variance * ratio
    bank.log_weight = np.log(PRIOR) + (bank.log_weight - np.log(PRIOR)) / ratio[:, None]
    white = [(now - bank.rho * before) / (1 - bank.rho) for now, before in ((q, bank.q), (s, bank.s))]
    bank.q, bank.s = q, s
    return white[0], white[1]


def update(bank: Bank, q: Array, s: Array, batch: Array, parts: Array, steps: Array) -> None:
    """Steps 0 to 9 for one measurement of every run, [runs] each; the bank is changed in place."""
    outlier = find_outliers(bank, q, s, batch, parts)
    before = replace(bank)
    fold(bank, q, s, batch, parts, steps, steps + bank.left_out)
    bank.left_out = np.zeros_like(bank.left_out)
    if not outlier.any():
        return
    before.left_out = before.left_out + steps
    for field in fields(Bank):
        old, new = getattr(before, field.name), getattr(bank, field.name)
        setattr(bank, field.name, np.where(outlier if new.ndim == 1 else outlier[:, None], old, new))


def find_outliers(bank: Bank, q: Array, s: Array, batch: Array, parts: Array) -> Array:
    """Step 0."""
    scale = bank.b0 / batch
    x = np.maximum(bank.mean, 1e-4)
    r = bank.gamma * 2 * bank.r2 * parts / (parts - 1) * scale**2 + bank.a1 * scale * x + bank.a2 * x * x
    signal = abs(bank.b0 * q - x * s) / bank.sigma / np.sqrt(r + bank.variance)
    trace = (s / bank.sigma - 1) / np.sqrt(np.maximum(2 * bank.r2 / (parts - 1), SMALLEST_VARIANCE))
    deviation = np.maximum(signal, trace)
    possible = 10 * bank.largest

    beyond = deviation > possible
    recent = bank.recent * (1 - 1 / 500) + beyond
    row = np.where(beyond, bank.row + 1, 0)
    row_s = np.where(beyond, bank.row_s + s, 0)
    let_in = beyond & (recent > MOST_OUTLIERS)
    change = let_in & (row > 1)
    outlier = beyond & ~let_in
    learnt = np.maximum(np.where(change, possible, deviation), np.maximum(bank.largest * (1 - 1 / 2000), 4.0))
    bank.largest = np.where(outlier, bank.largest, learnt)
    bank.sigma = np.where(change & (row_s > 0), row_s / np.maximum(row, 1), bank.sigma)
    bank.outliers = bank.outliers + outlier - np.where(change, row - 1, 0)
    bank.recent = np.where(let_in, 0, recent)
    bank.row, bank.row_s = np.where(let_in, 0, row), np.where(let_in, 0, row_s)
    return outlier


def fold(bank: Bank, q: Array, s: Array, batch: Array, parts: Array, steps: Array, elapsed: Array) -> None:
    """Steps 1 to 9."""
    bank.count = bank.count + 1
    scale = bank.b0 / batch
    a0 = bank.gamma * 2 * bank.r2 * parts / (parts - 1) * scale**2
    a1 = bank.a1 * scale

    # 1
    white_q, white_s = whiten(bank, q, s)
    ratio = (elapsed / bank.steps)[:, None]
    known = (steps / bank.steps)[:, None] <= MOST_STRETCH
    bank.v = np.where(known, bank.v * ratio, 0.0)
    bank.c = np.where(known, bank.c * ratio, 0.0)
    bank.u = np.where(known, bank.u * ratio**2, DRIFT_SD**2)
    bank.steps = elapsed

    # 2
    x = np.maximum(bank.mean, 0.02)
    r = ((a0 + a1 * x + bank.a2 * x * x) * bank.inflation)[:, None]

    # 3
    f = np.exp(np.clip(bank.v, -0.1, 0.1))
    p = f**2 * (bank.p + 2 * bank.xi * bank.c + bank.xi**2 * bank.u) + OMEGA**2 * (bank.xi**2 + bank.p)
    c = f * (bank.c + bank.xi * bank.u) * PHI
    u = PHI**2 * bank.u + DRIFT_NOISE**2
    xi = f * bank.xi
    v = PHI * bank.v
    p = np.maximum(p, SMALLEST_VARIANCE)

    # 4
    e = ((bank.b0 * white_q)[:, None] - xi * white_s[:, None]) / bank.sigma[:, None]
    total = p + r
    bank.xi = xi + p / total * e
    bank.v = v + c / total * e
    bank.u = np.maximum(u - c**2 / total, 0.0)
    bank.c = c * (1 - p / total)
    bank.p = np.maximum(p * (1 - p / total), SMALLEST_VARIANCE)

    # 5
    log_weight = bank.log_weight - 0.67 * 0.5 * (np.log(total) + np.minimum(e**2 / total, 32))
    log_weight = log_weight + (np.log(PRIOR) - log_weight) / 1600
    log_weight = log_weight - np.logaddexp.reduce(log_weight, axis=1, keepdims=True)

    # 6
    x = np.maximum(bank.mean, 1e-4)
    parts_of_r = np.stack([a0, a1 * x, bank.a2 * x * x])
    r = parts_of_r.sum(axis=0)
    e = (bank.b0 * white_q - x * white_s) / bank.sigma
    square = e**2 / (r * bank.inflation + bank.variance)
    d = (np.minimum(square, 50) - 1) / np.minimum(bank.count - 1, 125)
    bank.gamma, bank.a1, bank.a2 = (
        component * (1 + d * part / r)
        for component, part in zip((bank.gamma, bank.a1, bank.a2), parts_of_r, strict=True)
    )

    # 7
    square = np.minimum(square, 1e4)
    n = np.minimum(bank.count - WARM_UP + 200, 1000)
    bank.m2 = bank.m2 + (square - bank.m2) / n
    bank.m4 = bank.m4 + (square**2 - bank.m4) / n
    z = np.clip((bank.b0 * q - x * s) / bank.sigma / np.sqrt(r), -3, 3)
    n = np.minimum(bank.count, 750)
    bank.lag = bank.lag + (z * bank.z - bank.lag) / n
    bank.square = bank.square + (z**2 - bank.square) / n
    bank.z = z
    bank.rho = shrink(bank.lag / np.maximum(bank.square, 1e-3), n)

    # 8
    bank.r2 = bank.r2 + ((s / bank.sigma - 1) ** 2 * (parts - 1) / 2 - bank.r2) / np.minimum(bank.count, 450)
    bank.sigma = np.maximum(bank.sigma + (s - bank.sigma) / np.minimum(bank.count, 100), bank.sigma / 2)

    # 9
    weight = np.exp(log_weight)
    bank.mean = (weight * bank.xi).sum(axis=1)
    bank.variance = (weight * (bank.p + (bank.xi - bank.mean[:, None]) ** 2)).sum(axis=1)
    own = (1 - 2.5e-5) * weight
    share = 2.5e-5 * PRIOR
    again = share > own
    bank.xi = np.where(again, bank.mean[:, None], bank.xi)
    bank.p = np.where(again, bank.variance[:, None], bank.p)
    bank.v = np.where(again, 0.0, bank.v)
    bank.c = np.where(again, 0.0, bank.c)
    bank.u = np.where(again, DRIFT_SD**2, bank.u)
    bank.log_weight = np.log(own + share)
