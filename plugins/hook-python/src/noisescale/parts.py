"""The one form in which every way of splitting a batch goes on the wire."""

from collections.abc import Sequence
from typing import NamedTuple

from noisescale.wire import MeasurementBig, MeasurementSmall


class PartSums(NamedTuple):
    """Sums over the K parts of a batch: all that the two batch sizes depend on.

    Attributes:
        parts: K; parts of weight 0 are none.
        units: Σ n_k, the units of the whole batch.
        weight: W = Σ w_k.
        squared_weight: q = Σ w_k².
        variance: c = Σ w_k²/n_k [1/units].
    """

    parts: int
    units: float
    weight: float
    squared_weight: float
    variance: float


def sum_parts(units: Sequence[float], weights: Sequence[float], times: Sequence[int] | None = None) -> PartSums:
    """Sums of K parts.

    Args:
        units: n_k, units of each part.
        weights: w_k, likewise, the factor of each part's mean loss.
        times: How many parts are as this one, likewise; 1 where it is left out.
    """
    parts = [part for part in zip(units, weights, times or [1] * len(units), strict=True) if part[1] != 0]
    return PartSums(
        parts=sum(t for _, _, t in parts),
        units=sum(t * n for n, _, t in parts),
        weight=sum(t * w for _, w, t in parts),
        squared_weight=sum(t * w * w for _, w, t in parts),
        variance=sum(t * w * w / n for n, w, t in parts),
    )


def small_and_big(sums: PartSums, small_sum: float, big: float) -> tuple[MeasurementSmall, MeasurementBig]:
    """Squared norms and batch sizes of parts that may differ in size and weight.

    With h_k = w_k·(mean gradient of part k), A = Σ|h_k|² and Bg = |Σ h_k|²:

        small = {squared norm A/q, batch size q/c},   big = {squared norm Bg/W², batch size W²/c}

    for which E = |G|² + tr Σ/b holds exactly, so that the estimators of McCandlish et al. 2018, arXiv:1812.06162,
    appendix A.1 stay unbiased. K equal parts of b units give b and K·b.

    Args:
        sums: Of the parts.
        small_sum: A [gradient²].
        big: Bg [gradient²].
    """
    return (
        {
            "batch_size": sums.squared_weight / sums.variance,
            "squared_norm": small_sum / sums.squared_weight,
            "count": sums.parts,
        },
        {"batch_size": sums.weight**2 / sums.variance, "squared_norm": big / sums.weight**2},
    )
