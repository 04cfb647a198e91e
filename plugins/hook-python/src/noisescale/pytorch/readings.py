"""The numbers of one step, from the device."""

import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from noisescale.exchange import RankSums
from noisescale.measured_run import MeasuredRun
from noisescale.parts import PartSums, sum_parts
from noisescale.pytorch.step_squares import Squares


class Part(NamedTuple):
    """What is known of one backward pass, or of several that are alike.

    Attributes:
        units: n_k.
        weight: w_k, the factor of the part's mean loss; where it is None, 1/K.
        loss: Its mean loss, shape (), unscaled and without the weight.
        times: How many parts are as this one.
    """

    units: torch.Tensor | float
    weight: torch.Tensor | float | None
    loss: torch.Tensor | float | None
    times: int = 1


def count(parts: Sequence[Part]) -> int:
    """K."""
    return sum(part.times for part in parts)


class Reading(NamedTuple):
    """A step whose numbers are still on the device."""

    step: int
    time_ms: float
    squares: Squares
    parts: Sequence[Part]
    hessian: tuple[int, torch.Tensor] | None
    scale: torch.Tensor | None
    learning_rate: float


class Readings:
    """The steps whose numbers are still on the device: a measured step later there is no wait for them."""

    def __init__(self, run: MeasuredRun, failed: Callable[[], None]) -> None:
        """Begins with none.

        Args:
            run: Takes their numbers.
            failed: Told of an exception.
        """
        self._run = run
        self._failed = failed
        self._waiting: deque[Reading] = deque()

    def add(self, reading: Reading) -> None:
        """Takes a step that has ended, and the numbers of those before it."""
        self.take_all()
        self._waiting.append(reading)
        if reading.squares.big.device.type == "cpu":
            self.take_all()

    def take_all(self) -> None:
        """Takes the numbers off the device, which waits for it."""
        while self._waiting:
            reading = self._waiting.popleft()
            try:
                sums = _read(reading)
            except Exception:
                self._failed()
                self._run.lost(reading.step)
                continue
            try:
                self._run.pass_on(sums)
            except Exception:
                self._failed()


def _read(reading: Reading) -> RankSums:
    """Takes a step's numbers off the device, which waits for them."""
    scale = 1.0 if reading.scale is None else float(reading.scale) ** 2
    small, big = (
        [x / scale for x in row] for row in torch.stack([reading.squares.small, reading.squares.big]).tolist()
    )
    if not all(map(math.isfinite, [*small, *big])):
        return RankSums(reading.step, "not-finite")
    each = 1 / count(reading.parts)
    weights = [each if part.weight is None else float(part.weight) for part in reading.parts]
    units = [float(part.units) for part in reading.parts]
    sized = all(math.isfinite(n) and n > 0 for w, n in zip(weights, units, strict=True) if w != 0)
    if not sized or not all(map(math.isfinite, weights)) or sum(weights) == 0:
        return RankSums(reading.step, "part-sizes")
    sums = sum_parts(units, weights, [part.times for part in reading.parts])
    weighted = [(w, part) for w, part in zip(weights, reading.parts, strict=True) if w != 0]
    losses = [w * part.times * float(part.loss) for w, part in weighted if part.loss is not None]
    return RankSums(
        step=reading.step,
        dropped=None,
        time_ms=reading.time_ms,
        learning_rate=reading.learning_rate,
        parts=sums.parts,
        units=sums.units,
        weight=sums.weight,
        squared_weight=sums.squared_weight,
        variance=sums.variance,
        small=small,
        big=big,
        loss=sum(losses) / sums.weight if losses and len(losses) == len(weighted) else None,
        metric=_pair(reading.squares.metric, scale),
        hessian=_hessian_sums(reading, units, weights, scale),
    )


def _pair(values: torch.Tensor | None, scale: float) -> tuple[float, float] | None:
    """Two values that are finite."""
    if values is None or not bool(values.isfinite().all()):
        return None
    small, big = (values.cpu() / scale).tolist()
    return small, big


def _hessian_sums(
    reading: Reading, units: Sequence[float], weights: Sequence[float], scale: float
) -> tuple[PartSums, float, float] | None:
    if reading.hessian is None:
        return None
    parts, forms = reading.hessian
    values = _pair(forms, scale)
    if values is None:
        return None
    # One entry, where all parts are alike.
    alike = len(units) == 1
    sums = sum_parts(units, weights, [parts]) if alike else sum_parts(units[:parts], weights[:parts])
    return None if sums.parts < 2 else (sums, *values)
