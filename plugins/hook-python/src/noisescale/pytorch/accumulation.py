"""Sees the micro gradients of one optimizer step as they are accumulated."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import nn
from torch.autograd import Variable

from noisescale.pytorch.processes import Processes
from noisescale.pytorch.squares import ChunkSquares

_ROWS = 16


class Squares(NamedTuple):
    """Squares of one step.

    Attributes:
        parts: K, the number of backward passes of this process.
        small: Shape (groups,), float64: Σ_k |h_k|² by group [gradient²].
        big: Shape (groups,), float64: |Σ_k h_k|² by group [gradient²]; of several processes this one's share.
    """

    parts: int
    small: torch.Tensor
    big: torch.Tensor


class PartsChangedError(Exception):
    """The step had another number of backward passes than the one before it."""


class _Slot:
    """What is known of one parameter in the current step."""

    __slots__ = ("count", "handles", "hooked", "index", "parameter", "pending", "uneven")

    def __init__(self, parameter: nn.Parameter, index: int) -> None:
        self.parameter = parameter
        self.index = index
        self.hooked: torch.Tensor | None = None
        self.handles: list[torch.utils.hooks.RemovableHandle] = []
        self.pending = False
        self.count = 0
        # A parameter that some parts do not use has its last accumulation before the last part.
        self.uneven = False


class Accumulation:
    """A pair of hooks on every parameter: one takes a micro gradient's square, one commits it once it is accumulated.

    Both are needed: `torch.autograd.grad` fires the first alone. The big square is read from `.grad`, before unscaling
    and clipping, once the K-th part is in; K is that of the step before. While K is not known the big square is read
    after each part. No gradient is kept or copied.

    One process reads a parameter's big square as soon as it has its K-th accumulation. Several processes reduce their
    gradients in the course of the backward pass; there all are read when it ends, after the reduction.
    """

    def __init__(
        self,
        model: nn.Module,
        parameters: Iterable[tuple[nn.Parameter, int]],
        groups: int,
        parts: int | None,
        processes: Processes | None,
        failed: Callable[[], None],
        restarted: Callable[[int], None],
    ) -> None:
        """Attaches the hooks.

        Args:
            model: Holds the parameters.
            parameters: Each with the number of its group, from 0.
            groups: Number of groups (layers).
            parts: K where the user says it, so that K is not taken from the step before.
            processes: Those that train the model together; None where this one trains alone.
            failed: Told of an exception in a hook.
            restarted: Told that a new accumulation began without an optimizer step, with the parts that were given up.
        """
        self.active = False
        self._given = parts
        self._expected = parts
        self._processes = processes
        self._failed = failed
        self._restarted = restarted
        self._begun = False
        self._reading_queued = False
        self._handles: list[torch.utils.hooks.RemovableHandle] = []
        pairs = list(parameters)
        self._group_numbers = [group for _, group in pairs]
        self._groups = groups
        self._slots = [_Slot(parameter, index) for index, (parameter, _) in enumerate(pairs)]
        self._small, self._big = self._squares(torch.device("cpu"))
        if processes is not None and processes.sharded:
            self._attach_when_gathered(model)
        else:
            for slot in self._slots:
                self._attach(slot.parameter, slot)

    def detach(self) -> None:
        """Removes the hooks."""
        self.active = False
        for handle in [*self._handles, *(handle for slot in self._slots for handle in slot.handles)]:
            handle.remove()

    def take(self) -> Squares | None:
        """The squares of the step that ends here; begins the next.

        Returns:
            None if no parameter got a gradient.

        Raises:
            PartsChangedError: If the big squares were not read at the last part.
        """
        parts = self._parts_so_far()
        expected, self._expected = self._expected, self._given or parts or None
        late = False
        if self._processes is None:
            shorter = [slot for slot in self._slots if 0 < slot.count < parts]
            late = expected is not None and any(not slot.uneven for slot in shorter)
            for slot in shorter:
                slot.uneven = True
        try:
            if parts == 0:
                return None
            if (expected is not None and parts != expected) or late:
                # The next measured step finds out what K is, reading at each accumulation.
                self._expected = self._given
                raise PartsChangedError
            for slot in self._slots:
                if slot.pending:
                    self._small.forget(slot.count % _ROWS, slot.index)
            return Squares(parts, self._small.squares(), self._big.squares())
        finally:
            self.clear()

    def clear(self) -> None:
        """Forgets the step."""
        self._begun = False
        self._reading_queued = False
        for slot in self._slots:
            slot.pending = False
            slot.count = 0

    def _parts_so_far(self) -> int:
        return max((slot.count for slot in self._slots), default=0)

    def _squares(self, home: torch.device) -> tuple[ChunkSquares, ChunkSquares]:
        parameters = [slot.parameter for slot in self._slots]
        dtype = torch.float64 if any(p.dtype.to_real() is torch.float64 for p in parameters) else torch.float32
        reals = [2 if p.is_complex() else 1 for p in parameters]
        sizes = [p.numel() * real for p, real in zip(parameters, reals, strict=True)]
        pieces = [_local(p).numel() * real for p, real in zip(parameters, reals, strict=True)]
        processes, numbers = self._processes, self._group_numbers
        shares = None if processes is None else [1 / processes.holders(parameter) for parameter in parameters]
        return (
            ChunkSquares(sizes, numbers, self._groups, rows=_ROWS, device=home, dtype=dtype),
            ChunkSquares(pieces, numbers, self._groups, rows=1, device=home, dtype=dtype, shares=shares),
        )

    def _begin(self, home: torch.device) -> None:
        if home != self._small.device:
            self._small, self._big = self._squares(home)
        else:
            self._small.clear()
            self._big.clear()
        self._begun = True

    def _attach(self, parameter: torch.Tensor, slot: _Slot) -> None:
        for handle in slot.handles:
            handle.remove()
        slot.hooked = parameter
        slot.handles = [
            parameter.register_hook(self._before(slot)),
            parameter.register_post_accumulate_grad_hook(self._after(slot)),
        ]

    def _attach_when_gathered(self, model: nn.Module) -> None:
        """Hooks the whole parameters, which a module holds from before its forward pass on, in place of the pieces."""
        slots = {id(slot.parameter): slot for slot in self._slots}

        def attach(held: dict[str, _Slot]) -> Callable[[nn.Module, object], None]:
            def before_forward(module: nn.Module, _: object) -> None:
                try:
                    for name, slot in held.items():
                        whole = module._parameters[name]
                        if whole is not None and whole is not slot.parameter and whole is not slot.hooked:
                            self._attach(whole, slot)
                except Exception:
                    self._failed()

            return before_forward

        for module in model.modules():
            held = {name: slots[id(p)] for name, p in module._parameters.items() if id(p) in slots}
            if held:
                self._handles.append(module.register_forward_pre_hook(attach(held)))

    def _before(self, slot: _Slot) -> Callable[[torch.Tensor], None]:
        def take_square(gradient: torch.Tensor) -> None:
            if not self.active:
                return
            try:
                if slot.count > 0 and self._began_anew(slot):
                    given_up = self._parts_so_far()
                    self.clear()
                    self._restarted(given_up)
                if not self._begun:
                    self._begin(gradient.device)
                if slot.count > 0 and slot.count % _ROWS == 0 and not slot.pending:
                    self._small.fold(slot.index)
                self._small.put(slot.count % _ROWS, slot.index, gradient)
                slot.pending = True
            except Exception:
                self._failed()

        return take_square

    def _after(self, slot: _Slot) -> Callable[[torch.Tensor], None]:
        def commit(parameter: torch.Tensor) -> None:
            if not self.active or not slot.pending:
                return
            try:
                slot.pending = False
                slot.count += 1
                if self._processes is not None:
                    self._read_after_reduction(slot.count)
                elif self._expected is None or slot.uneven or slot.count == self._expected:
                    gradient = parameter.grad
                    if gradient is not None:
                        self._big.put(0, slot.index, gradient)
            except Exception:
                self._failed()

        return commit

    def _read_after_reduction(self, parts: int) -> None:
        if self._reading_queued or (self._expected is not None and parts < self._expected):
            return
        self._reading_queued = True
        # What reduces the gradients queues itself up to twice: DDP's first step of a static graph does.
        self._at_the_end_of_backward(2)

    def _at_the_end_of_backward(self, again: int) -> None:
        def at_the_end() -> None:
            try:
                if again > 0:
                    self._at_the_end_of_backward(again - 1)
                    return
                self._reading_queued = False
                for slot in self._slots:
                    gradient = slot.parameter.grad
                    if gradient is not None:
                        self._big.put(0, slot.index, _local(gradient))
            except Exception:
                self._failed()

        Variable._execution_engine.queue_callback(at_the_end)

    def _began_anew(self, slot: _Slot) -> bool:
        """Whether the gradients were thrown away without a step, as a gradient scaler does after an overflow."""
        if self._processes is not None and self._processes.sharded:
            # Here `.grad` is None before the last part too; such a step is seen by its number of parts.
            return False
        if slot.parameter.grad is None:
            return True
        # Zeroed in place: seen only where more parts come than a step has, after one that was not finite.
        too_many = self._expected is not None and slot.count >= self._expected
        return too_many and not self._big.finite(slot.index)


def _local(tensor: torch.Tensor) -> torch.Tensor:
    """The piece of a sharded tensor that this process holds, or the tensor."""
    to_local: Callable[[], torch.Tensor] | None = getattr(tensor, "to_local", None)
    return tensor if to_local is None else to_local()
