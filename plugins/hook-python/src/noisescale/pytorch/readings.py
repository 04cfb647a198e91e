"""The numbers of one step, from the device to the measurement that they make."""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from noisescale.exchange import RankSums
from noisescale.parts import PartSums, small_and_big, sum_parts
from noisescale.pytorch.accumulation import Squares
from noisescale.wire import Measurement, MeasurementBig, MeasurementHessian, MeasurementSmall


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


def read(reading: Reading) -> RankSums:
    """Takes a step's numbers off the device, which waits for them."""
    scale = 1.0 if reading.scale is None else float(reading.scale) ** 2
    numbers = torch.stack([reading.squares.small, reading.squares.big]).cpu() / scale
    if not bool(numbers.isfinite().all()):
        return RankSums(reading.step, "not-finite")
    small, big = numbers.tolist()
    each = 1 / count(reading.parts)
    weights = [each if part.weight is None else float(part.weight) for part in reading.parts]
    units = [float(part.units) for part in reading.parts]
    sums = sum_parts(units, weights, [part.times for part in reading.parts])
    losses = [
        w * part.times * float(part.loss)
        for w, part in zip(weights, reading.parts, strict=True)
        if part.loss is not None
    ]
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
        loss=sum(losses) / sums.weight if len(losses) == len(reading.parts) else None,
        metric=_pair(reading.squares.metric, scale),
        hessian=_hessian_sums(reading, units, weights, scale),
    )


def measurement_of(sums: RankSums, layers: Sequence[str] | None) -> Measurement:
    """A step's measurement.

    Args:
        sums: Of all processes.
        layers: Their names, where the squares are to be told apart by layer.
    """
    parts = PartSums(sums.parts, sums.units, sums.weight, sums.squared_weight, sums.variance)
    small, big = small_and_big(parts, sum(sums.small), sum(sums.big))
    measurement: Measurement = {
        "step": sums.step,
        "time_ms": sums.time_ms,
        "units": sums.units,
        "small": small,
        "big": big,
        "learning_rate": sums.learning_rate,
    }
    if sums.loss is not None and abs(sums.loss) < float("inf"):
        measurement["loss"] = sums.loss
    if sums.metric is not None:
        measurement["preconditioned"] = _forms(*small_and_big(parts, *sums.metric))
    if sums.hessian is not None:
        measurement["hessian"] = _forms(*small_and_big(*sums.hessian))
    if layers is not None:
        measurement["layers"] = {
            name: (layer_small / sums.squared_weight, layer_big / sums.weight**2)
            for name, layer_small, layer_big in zip(layers, sums.small, sums.big, strict=True)
        }
    return measurement


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
    if len(units) == 1:
        # All parts are alike.
        return (sum_parts(units, weights, [parts]), *values)
    return (sum_parts(units[:parts], weights[:parts]), *values)


def _forms(small: MeasurementSmall, big: MeasurementBig) -> MeasurementHessian:
    return {
        "small": {"batch_size": small["batch_size"], "value": small["squared_norm"]},
        "big": {"batch_size": big["batch_size"], "value": big["squared_norm"]},
    }
