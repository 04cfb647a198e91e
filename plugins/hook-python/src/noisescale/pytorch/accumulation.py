"""Sees the micro gradients of one optimizer step as they are accumulated."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import nn

from noisescale.pytorch.squares import squared_norm


class Squares(NamedTuple):
    """Squares of one step.

    Attributes:
        parts: K, the number of backward passes.
        small: Shape (groups,), float64: Σ_k |h_k|² by group [gradient²].
        big: Shape (groups,), float64: |Σ_k h_k|² by group [gradient²].
    """

    parts: int
    small: torch.Tensor
    big: torch.Tensor


class PartsChangedError(Exception):
    """The step had another number of backward passes than the one before it."""


class _Slot:
    """What is known of one parameter in the current step."""

    def __init__(self, group: int) -> None:
        self.group = group
        self.pending: torch.Tensor | None = None
        self.small: torch.Tensor | None = None
        self.big: torch.Tensor | None = None
        self.count = 0
        # A parameter that some parts do not use has its last accumulation before the last part.
        self.uneven = False

    def clear(self) -> None:
        self.pending = self.small = self.big = None
        self.count = 0


class Accumulation:
    """A pair of hooks on every parameter: one takes a micro gradient's square, one commits it once it is accumulated.

    Both are needed: `torch.autograd.grad` fires the first alone. The big square is read from `.grad` at the K-th
    accumulation, before unscaling and clipping; K is that of the step before. While K is not known the big square is
    read at each accumulation. No gradient is kept or copied.
    """

    def __init__(
        self,
        parameters: Iterable[tuple[nn.Parameter, int]],
        groups: int,
        parts: int | None,
        failed: Callable[[], None],
        restarted: Callable[[int], None],
    ) -> None:
        """Attaches the hooks.

        Args:
            parameters: Each with the number of its group, from 0.
            groups: Number of groups (layers).
            parts: K where the user says it, so that K is not taken from the step before.
            failed: Told of an exception in a hook.
            restarted: Told that a new accumulation began without an optimizer step, with the parts that were given up.
        """
        self.active = False
        self._groups = groups
        self._given = parts
        self._expected = parts
        self._failed = failed
        self._restarted = restarted
        self._slots: dict[nn.Parameter, _Slot] = {}
        self._handles: list[torch.utils.hooks.RemovableHandle] = []
        for parameter, group in parameters:
            slot = _Slot(group)
            self._slots[parameter] = slot
            self._handles += [
                parameter.register_hook(self._before(parameter, slot)),
                parameter.register_post_accumulate_grad_hook(self._after(slot)),
            ]

    def detach(self) -> None:
        """Removes the hooks."""
        self.active = False
        for handle in self._handles:
            handle.remove()

    def take(self) -> Squares | None:
        """The squares of the step that ends here; begins the next.

        Returns:
            None if no parameter got a gradient.

        Raises:
            PartsChangedError: If the big squares were not read at the last part.
        """
        parts = max((slot.count for slot in self._slots.values()), default=0)
        expected, self._expected = self._expected, self._given or parts or None
        used = [slot for slot in self._slots.values() if slot.count > 0]
        late = [slot for slot in used if slot.count < parts and not slot.uneven and expected is not None]
        for slot in used:
            slot.uneven = slot.uneven or slot.count < parts
        try:
            if parts == 0:
                return None
            if (expected is not None and parts != expected) or late:
                # The next measured step finds out what K is, reading at each accumulation.
                self._expected = self._given
                raise PartsChangedError
            return Squares(
                parts,
                self._by_group([(s.group, s.small) for s in used]),
                self._by_group([(s.group, s.big) for s in used]),
            )
        finally:
            self.clear()

    def clear(self) -> None:
        """Forgets the step."""
        for slot in self._slots.values():
            slot.clear()

    def _by_group(self, squares: list[tuple[int, torch.Tensor | None]]) -> torch.Tensor:
        known = [(group, square) for group, square in squares if square is not None]
        home = known[0][1].device
        values = torch.stack([square.to(home, non_blocking=True) for _, square in known])
        index = torch.tensor([group for group, _ in known], device=home)
        return torch.zeros(self._groups, dtype=torch.float64, device=home).index_add_(0, index, values)

    def _before(self, parameter: nn.Parameter, slot: _Slot) -> Callable[[torch.Tensor], None]:
        def take_square(gradient: torch.Tensor) -> None:
            if not self.active:
                return
            try:
                if slot.count > 0 and self._began_anew(parameter, slot):
                    given_up = max(other.count for other in self._slots.values())
                    self.clear()
                    self._restarted(given_up)
                slot.pending = squared_norm(gradient)
            except Exception:
                self._failed()

        return take_square

    def _after(self, slot: _Slot) -> Callable[[torch.Tensor], None]:
        def commit(parameter: torch.Tensor) -> None:
            if not self.active or slot.pending is None:
                return
            try:
                slot.small = slot.pending if slot.small is None else slot.small + slot.pending
                slot.pending = None
                slot.count += 1
                last = self._expected is None or slot.uneven or slot.count == self._expected
                if last and parameter.grad is not None:
                    slot.big = squared_norm(parameter.grad)
            except Exception:
                self._failed()

        return commit

    def _began_anew(self, parameter: nn.Parameter, slot: _Slot) -> bool:
        """Whether the gradients were thrown away without a step, as a gradient scaler does after an overflow."""
        if parameter.grad is None:
            return True
        # Zeroed in place: seen only where more parts come than a step has, after one that was not finite.
        too_many = self._expected is not None and slot.count >= self._expected
        return too_many and slot.big is not None and not bool(slot.big.isfinite())
