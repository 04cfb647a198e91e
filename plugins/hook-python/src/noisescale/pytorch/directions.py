"""The vectors that the Hessian is multiplied with: sums of the parts' gradients, and under random signs."""

import random
from typing import NamedTuple

import torch


class Directions(NamedTuple):
    """Gradients of the parts that this process has accumulated in a step so far, as they were before any reduction.

    Attributes:
        parts: n, how many they are.
        parameters: Those that have a gradient.
        signed: Σ ε_k h_k with random signs ε_k, in the parameters' shapes.
        total: Σ h_k, likewise.
    """

    parts: int
    parameters: list[torch.Tensor]
    signed: list[torch.Tensor]
    total: list[torch.Tensor]


class SignedSums:
    """Adds up the gradients of a step's parts, parameter by parameter, each part with one sign in all of them.

    Attributes:
        signs: Where the signs are drawn from; None: nothing is added up.
    """

    def __init__(self, totals: bool) -> None:
        """Begins.

        Args:
            totals: Whether the plain sums are added up too, where `.grad` is not theirs.
        """
        self.signs: random.Random | None = None
        self._totals = totals
        self._drawn: list[int] = []
        self._waiting: dict[int, torch.Tensor] = {}
        self._signed: dict[int, torch.Tensor] = {}
        self._total: dict[int, torch.Tensor] = {}

    def see(self, index: int, gradient: torch.Tensor) -> None:
        """Takes a gradient that may be accumulated next.

        Args:
            index: Which parameter.
            gradient: Of one part, any shape; kept until then, and not copied.
        """
        if self.signs is not None:
            self._waiting[index] = gradient.detach()

    def commit(self, index: int, part: int) -> None:
        """Adds what was seen.

        Args:
            index: Which parameter.
            part: Number of the part, from 0.
        """
        gradient = self._waiting.pop(index, None)
        if gradient is None or self.signs is None:
            return
        while len(self._drawn) <= part:
            self._drawn.append(self.signs.choice((-1, 1)))
        _add(self._signed, index, gradient, self._drawn[part])
        if self._totals:
            _add(self._total, index, gradient, 1)

    def sums(self, index: int, accumulated: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Σ ε_k h_k and Σ h_k of one parameter.

        Args:
            index: Which parameter.
            accumulated: Its `.grad`, taken for the plain sum where that is not added up here.

        Returns:
            None where there is none.
        """
        signed = self._signed.get(index)
        total = self._total.get(index) if self._totals else accumulated
        return None if signed is None or total is None else (signed, total.to_dense())

    def clear(self) -> None:
        """Forgets the step."""
        self._drawn = []
        self._waiting, self._signed, self._total = {}, {}, {}


def _add(sums: dict[int, torch.Tensor], index: int, gradient: torch.Tensor, sign: int) -> None:
    if index in sums:
        sums[index].add_(gradient, alpha=sign)
    else:
        sums[index] = gradient.to_dense() * sign
