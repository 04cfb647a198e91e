"""Gathers the numbers of one step from the processes that train together, without a collective operation.

Every process writes a few numbers to the store that the process group was made with, and the first one reads what is
there. Nothing waits: a process that writes nothing (it was never watched, it ended) costs measurements, where a
collective operation would hold up the training, or be taken for another one.
"""

import itertools
import json
import math
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from noisescale.parts import PartSums
from noisescale.report import EventCode

_RING = 64
_MOST_WAITING = 16
_exchanges = itertools.count()


class Store(Protocol):
    """What is used of `torch.distributed.Store`."""

    def set(self, key: str, value: str, /) -> None:
        """Sets a value."""

    def get(self, key: str, /) -> bytes | str:
        """Gets a value that is there."""

    def check(self, keys: list[str], /) -> bool:
        """Whether all the keys are there."""


class RankSums(NamedTuple):
    """What one process saw of a step: sums over its parts, or why there are none.

    Attributes:
        step: Number of the optimizer step.
        dropped: Code of the event, where the step is left out.
        time_ms: Unix epoch.
        learning_rate: Of the optimizer's first group; None where it is not known.
        parts, units, weight, squared_weight, variance: As in `PartSums`.
        small: Σ_k |h_k|² by layer [gradient²].
        big: This process's share of |Σ h|² by layer, such that the shares add up [gradient²].
        loss: Weighted mean loss of the parts; None where it is not known.
        metric: Σ_k hᵀPh and this process's share of (Σh)ᵀP(Σh), with the optimizer's metric P; None where it has none.
        hessian: The parts whose gradients were multiplied with the Hessian, and their two forms; None where it was not
            done.
    """

    step: int
    dropped: EventCode | None
    time_ms: float = 0.0
    learning_rate: float | None = None
    parts: int = 0
    units: float = 0.0
    weight: float = 0.0
    squared_weight: float = 0.0
    variance: float = 0.0
    small: Sequence[float] = ()
    big: Sequence[float] = ()
    loss: float | None = None
    metric: tuple[float, float] | None = None
    hessian: tuple[PartSums, float, float] | None = None


def over_ranks(sums: Sequence[RankSums]) -> RankSums:
    """One step's sums over R processes whose gradients are averaged: each part's weight is 1/R of what it was.

    The first reason to leave the step out is that of the whole.
    """
    ranks = len(sums)
    if ranks == 1:
        return sums[0]
    dropped = next((one.dropped for one in sums if one.dropped is not None), None)
    if dropped is not None:
        return RankSums(sums[0].step, dropped)
    weight = sum(one.weight for one in sums)
    losses = [one.loss * one.weight for one in sums if one.loss is not None]
    metrics = [one.metric for one in sums if one.metric is not None]
    return RankSums(
        step=sums[0].step,
        dropped=None,
        time_ms=sums[0].time_ms,
        learning_rate=sums[0].learning_rate,
        parts=sum(one.parts for one in sums),
        units=sum(one.units for one in sums),
        weight=weight / ranks,
        squared_weight=sum(one.squared_weight for one in sums) / ranks**2,
        variance=sum(one.variance for one in sums) / ranks**2,
        small=[sum(layer) / ranks**2 for layer in zip(*(one.small for one in sums), strict=True)],
        big=[sum(layer) for layer in zip(*(one.big for one in sums), strict=True)],
        loss=sum(losses) / weight if len(losses) == ranks else None,
        metric=(sum(small for small, _ in metrics) / ranks**2, sum(big for _, big in metrics))
        if len(metrics) == ranks
        else None,
        hessian=_hessian_over_ranks([one.hessian for one in sums if one.hessian is not None]),
    )


def _hessian_over_ranks(forms: Sequence[tuple[PartSums, float, float]]) -> tuple[PartSums, float, float] | None:
    """Both forms of processes that know none of each other's gradients: E Σ_r = Σ_r W_r²·GᵀHG + Σ_r c_r·tr(HΣ).

    So their weight together is the root of ΣW_r²: the big form is no larger a batch than that of a single process.
    """
    if not forms:
        return None
    counts = [PartSums(*parts) for parts, _, _ in forms]
    parts = PartSums(
        parts=sum(one.parts for one in counts),
        units=sum(one.units for one in counts),
        weight=math.hypot(*(one.weight for one in counts)),
        squared_weight=sum(one.squared_weight for one in counts),
        variance=sum(one.variance for one in counts),
    )
    return parts, sum(small for _, small, _ in forms), sum(big for _, _, big in forms)


class Exchange:
    """One watched training's numbers, step by step; made in the same order by every process."""

    def __init__(self, store: Store, rank: int, size: int) -> None:
        self._store = store
        self._rank = rank
        self._size = size
        self._name = f"{next(_exchanges)}"
        self._index = 0
        self._waiting: deque[tuple[int, RankSums]] = deque()

    def put(self, sums: RankSums) -> None:
        """Adds this process's numbers of a measured step; every process does so once for each."""
        place, self._index = self._index % _RING, self._index + 1
        if self._rank == 0:
            self._waiting.append((place, sums))
        else:
            self._store.set(self._key(place, self._rank), json.dumps(sums))

    def tell(self, every: int) -> None:
        """Hands a number to the other processes."""
        self._store.set(f"{self._name}/every", str(every))

    def told(self) -> int | None:
        """The number that was handed over; None before."""
        key = f"{self._name}/every"
        return int(self._store.get(key)) if self._store.check([key]) else None

    def announce(self, step: int, what: object) -> None:
        """Hands something, as JSON, that comes of a step's end to the other processes; from the first one."""
        self._store.set(f"{self._name}/after/{step}", json.dumps(what))

    def announced(self, step: int) -> object | None:
        """What the first process had to say at the end of that step; None where that was nothing.

        One step later it is there, since the step between has reduced gradients of all processes.
        """
        key = f"{self._name}/after/{step}"
        return json.loads(self._store.get(key)) if self._store.check([key]) else None

    def take(self, deadline_seconds: float = 0.0) -> Iterator[RankSums]:
        """The steps, in order, that all processes have added to; only the first process sees any.

        A step that others have not added to 16 measured steps later, or until the deadline where one is given, is left
        out as `rank-missing`.
        """
        deadline = time.monotonic() + deadline_seconds
        while self._waiting:
            place, own = self._waiting[0]
            others = self._others(place, own.step)
            while others is None and deadline_seconds > 0 and time.monotonic() < deadline:
                time.sleep(0.002)
                others = self._others(place, own.step)
            if others is None:
                if deadline_seconds == 0 and len(self._waiting) <= _MOST_WAITING:
                    return
                self._waiting.popleft()
                yield RankSums(own.step, "rank-missing")
            else:
                self._waiting.popleft()
                yield over_ranks([own, *others])

    def _others(self, place: int, step: int) -> list[RankSums] | None:
        keys = [self._key(place, rank) for rank in range(1, self._size)]
        if not self._store.check(keys):
            return None
        others = [RankSums(*json.loads(self._store.get(key))) for key in keys]
        # A place is written again 64 measured steps later.
        return others if all(other.step == step for other in others) else None

    def _key(self, place: int, rank: int) -> str:
        return f"{self._name}/{place}/{rank}"
