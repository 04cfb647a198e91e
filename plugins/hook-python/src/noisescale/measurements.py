"""From the sums over a step's parts to what goes on the wire."""

import math
from collections.abc import Sequence

from noisescale.exchange import RankSums
from noisescale.parts import PartSums, small_and_big
from noisescale.wire import Measurement, MeasurementBig, MeasurementHessian, MeasurementSmall


def measurement_of(sums: RankSums, layers: Sequence[str] | None) -> Measurement:
    """The measurement of a step that is not left out.

    Args:
        sums: Over all its parts.
        layers: Names, one for each of the sums' squares; None where layers are not sent.
    """
    parts = PartSums(sums.parts, sums.units, sums.weight, sums.squared_weight, sums.variance)
    small, big = small_and_big(parts, sum(sums.small), sum(sums.big))
    measurement: Measurement = {
        "step": sums.step,
        "time_ms": sums.time_ms,
        "units": sums.units,
        "small": small,
        "big": big,
    }
    if sums.learning_rate is not None:
        measurement["learning_rate"] = sums.learning_rate
    if sums.loss is not None and math.isfinite(sums.loss):
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


def _forms(small: MeasurementSmall, big: MeasurementBig) -> MeasurementHessian:
    return {
        "small": {"batch_size": small["batch_size"], "value": small["squared_norm"]},
        "big": {"batch_size": big["batch_size"], "value": big["squared_norm"]},
    }
