"""The squares of one step: of each part, of their sum, and both in the optimizer's metric."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn

from noisescale.pytorch.processes import Processes, local, piece_of
from noisescale.pytorch.quadratic_forms import AdamMetric
from noisescale.pytorch.squares import ChunkSquares

_ROWS = 16


class Squares(NamedTuple):
    """Squares of one step.

    Attributes:
        parts: K, the number of backward passes of this process.
        small: Shape (groups,), float64: Σ_k |h_k|² by group [gradient²].
        big: Shape (groups,), float64: |Σ_k h_k|² by group [gradient²]; of several processes this one's share.
        metric: Shape (2,), float64: both in the optimizer's metric, all groups together; None where it has none yet.
            Where parameters are sharded, the small one is that of this process's piece, times the number of pieces.
    """

    parts: int
    small: torch.Tensor
    big: torch.Tensor
    metric: torch.Tensor | None


class StepSquares:
    """Places for the norms of each parameter's gradients, on the device where these are."""

    def __init__(
        self,
        parameters: Sequence[tuple[nn.Parameter, int]],
        groups: int,
        processes: Processes | None,
        metric: AdamMetric | None,
    ) -> None:
        """Reserves them.

        Args:
            parameters: Each with the number of its group, from 0; below they go by their places here.
            groups: Number of groups (layers).
            processes: Those that train the model together; None where this one trains alone.
            metric: The optimizer's, where squares are taken in it too.
        """
        self._parameters = [parameter for parameter, _ in parameters]
        self._numbers = [number for _, number in parameters]
        self._groups = groups
        self._processes = processes
        self._metric = metric
        self._metric_known = True
        self._reserve(torch.device("cpu"))

    def begin(self, home: torch.device) -> None:
        """Forgets the step before.

        Args:
            home: Where the gradients of this one are.
        """
        self._metric_known = True
        if home != self._small.device:
            self._reserve(home)
        else:
            for squares in {self._small, self._big, self._metric_small, self._metric_big}:
                squares.clear()

    def put_small(self, index: int, part: int, gradient: torch.Tensor, *, again: bool) -> None:
        """Takes a part's gradient.

        Args:
            index: Which parameter.
            part: Number of the part, from 0.
            gradient: Whole, of any shape.
            again: Whether the part had another one that was not accumulated; this takes its place.
        """
        row = part % _ROWS
        if part > 0 and row == 0 and not again:
            self._small.fold(index)
            if self._metric is not None:
                self._metric_small.fold(index)
        self._small.put(row, index, gradient)
        self._put_in_metric(self._metric_small, row, index, gradient)

    def forget_small(self, index: int, part: int) -> None:
        """Takes back a part's gradient that was not accumulated."""
        for squares in {self._small, self._metric_small}:
            squares.forget(part % _ROWS, index)

    def put_big(self, index: int, gradient: torch.Tensor) -> None:
        """Takes the sum of the parts' gradients so far: this process's piece, where it is sharded."""
        self._big.put(0, index, local(gradient))
        self._put_in_metric(self._metric_big, 0, index, gradient)

    def finite(self, index: int) -> bool:
        """Whether a parameter's sum is finite; waits for the device."""
        return self._big.finite(index)

    def of(self, parts: int) -> Squares:
        """All of them, without waiting for the device.

        Args:
            parts: K.
        """
        metric = None
        if self._metric is not None and self._metric_known:
            metric = torch.cat([self._metric_small.squares(), self._metric_big.squares()])
        return Squares(parts, self._small.squares(), self._big.squares(), metric)

    def _reserve(self, home: torch.device) -> None:
        processes, parameters = self._processes, self._parameters
        dtype = torch.float64 if any(p.dtype.to_real() is torch.float64 for p in parameters) else torch.float32
        reals = [2 if p.is_complex() else 1 for p in parameters]
        whole = [p.numel() * real for p, real in zip(parameters, reals, strict=True)]
        pieces = [local(p).numel() * real for p, real in zip(parameters, reals, strict=True)]
        shares = None if processes is None else [1 / processes.holders(parameter) for parameter in parameters]
        numbers, groups = self._numbers, self._groups
        self._small = ChunkSquares(whole, numbers, groups, rows=_ROWS, device=home, dtype=dtype)
        self._big = ChunkSquares(pieces, numbers, groups, rows=1, device=home, dtype=dtype, shares=shares)
        self._metric_small, self._metric_big = self._small, self._big
        if self._metric is not None:
            numbers = [0] * len(parameters)
            # A process knows the metric of its own piece alone. All draw alike, so that the pieces of different
            # processes' gradients have, together, the expected square of a whole one.
            times = None if processes is None or shares is None else [processes.size * share for share in shares]
            self._metric_small = ChunkSquares(pieces, numbers, 1, rows=_ROWS, device=home, dtype=dtype, shares=times)
            self._metric_big = ChunkSquares(pieces, numbers, 1, rows=1, device=home, dtype=dtype, shares=shares)

    def _put_in_metric(self, squares: ChunkSquares, row: int, index: int, gradient: torch.Tensor) -> None:
        if self._metric is None or not self._metric_known:
            return
        parameter = self._parameters[index]
        root = self._metric.root(parameter)
        if root is None:
            self._metric_known = False
        else:
            squares.put(row, index, piece_of(gradient.detach().to_dense(), parameter) * root)
