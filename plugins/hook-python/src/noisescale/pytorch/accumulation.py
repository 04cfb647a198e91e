"""Sees the micro gradients of one optimizer step as they are accumulated."""

from collections.abc import Callable, Iterable

import torch
from torch import nn
from torch.autograd import Variable

from noisescale.pytorch.directions import Directions, SignedSums
from noisescale.pytorch.processes import Processes
from noisescale.pytorch.quadratic_forms import AdamMetric
from noisescale.pytorch.step_squares import Squares, StepSquares
from noisescale.pytorch.uncompiled import uncompiled


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

    def detach(self) -> None:
        """Removes the hooks."""
        for handle in self.handles:
            handle.remove()
        self.handles = []
        if self.hooked is not None:
            # What has held hooks is called in each backward pass, empty too: 0.2 % of a step of 12 ms with 8 of them.
            if not self.hooked._backward_hooks:
                self.hooked._backward_hooks = None
            if not self.hooked._post_accumulate_grad_hooks:
                self.hooked._post_accumulate_grad_hooks = None  # type: ignore[assignment]
        self.hooked = None


class Accumulation:
    """A pair of hooks on every parameter: one takes a micro gradient's square, one commits it once it is accumulated.

    Both are needed: `torch.autograd.grad` fires the first alone. The big square is read from `.grad`, before unscaling
    and clipping, once the K-th part is in; K is that of the step before. While K is not known the big square is read
    after each part. No gradient is kept or copied.

    The hooks are there on measured steps alone: hooks in Python that return at once were seen to cost 0.9 % of a step
    of 11 ms with 8 backward passes.

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
        metric: AdamMetric | None,
        failed: Callable[[], None],
        restarted: Callable[[int], None],
    ) -> None:
        """Gets ready for the first step.

        Args:
            model: Holds the parameters.
            parameters: Each with the number of its group, from 0.
            groups: Number of groups (layers).
            parts: K where the user says it, so that K is not taken from the step before.
            processes: Those that train the model together; None where this one trains alone.
            metric: The optimizer's, where squares are taken in it too.
            failed: Told of an exception in a hook.
            restarted: Told that a new accumulation began without an optimizer step, with the parts that were given up.
        """
        self.active = False
        # Several processes may reduce gradients part by part: `.grad` holds those of the others too then.
        self.signed_sums = SignedSums(totals=processes is not None)
        self._given = parts
        self._expected = parts
        self._processes = processes
        self._failed = failed
        self._restarted = restarted
        self._begun = False
        self._reading_queued = False
        self._takes_small = True
        self._handles: list[torch.utils.hooks.RemovableHandle] = []
        pairs = list(parameters)
        self._squares = StepSquares(pairs, groups, processes, metric)
        self._slots = [_Slot(parameter, index) for index, (parameter, _) in enumerate(pairs)]
        self._hooks_pieces = processes is None or not processes.sharded
        self._attached = False
        if not self._hooks_pieces:
            self._attach_when_gathered(model)

    def measure(self, measured: bool) -> None:
        """Says whether the step that comes is measured."""
        self.active = measured
        if self._hooks_pieces and (measured or self._attached):
            self._attached = measured
            for slot in self._slots:
                if not measured:
                    slot.detach()
                elif not slot.handles and slot.parameter.requires_grad:
                    self._attach(slot.parameter, slot)

    def detach(self) -> None:
        """Removes the hooks."""
        self.active = False
        for handle in self._handles:
            handle.remove()
        for slot in self._slots:
            slot.detach()

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
                    self._squares.forget_small(slot.index, slot.count)
            return self._squares.of(parts)
        finally:
            self.clear()

    def clear(self) -> None:
        """Forgets the step."""
        self._begun = False
        self._reading_queued = False
        self._takes_small = True
        self.signed_sums.clear()
        for slot in self._slots:
            slot.pending = False
            slot.count = 0

    def expects(self, more: int, *, small: bool = True) -> None:
        """Says what comes in this step beside what was.

        Args:
            more: How many parts, where K is not that of the step before.
            small: False where their own squares are read elsewhere; they are not taken then.
        """
        self._takes_small = small
        if self._given is None:
            self._expected = self._parts_so_far() + more

    def used(self) -> list[torch.Tensor]:
        """The parameters that have a gradient of this step."""
        return [slot.parameter for slot in self._slots if slot.count > 0]

    def directions(self) -> Directions | None:
        """Gradients of the parts so far, where signs were set when they began.

        Returns:
            None if they are fewer than two, or some parameter has no gradient of some of them.
        """
        parts = self._parts_so_far()
        used = [slot for slot in self._slots if slot.count > 0]
        found = [self.signed_sums.sums(slot.index, slot.parameter.grad) for slot in used]
        sums = [pair for pair in found if pair is not None]
        if parts < 2 or len(sums) < len(used) or any(slot.count != parts for slot in used):
            return None
        signed, total = zip(*sums, strict=True)
        return Directions(parts, [slot.parameter for slot in used], list(signed), list(total))

    def _parts_so_far(self) -> int:
        return max((slot.count for slot in self._slots), default=0)

    def _attach(self, parameter: torch.Tensor, slot: _Slot) -> None:
        slot.detach()
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
        @uncompiled
        def take_square(gradient: torch.Tensor) -> None:
            if not self.active:
                return
            try:
                if slot.count > 0 and self._began_anew(slot):
                    given_up = self._parts_so_far()
                    self.clear()
                    self._restarted(given_up)
                if not self._begun:
                    self._squares.begin(gradient.device)
                    self._begun = True
                if self._takes_small:
                    self._squares.put_small(slot.index, slot.count, gradient, again=slot.pending)
                self.signed_sums.see(slot.index, gradient)
                slot.pending = True
            except Exception:
                self._failed()

        return take_square

    def _after(self, slot: _Slot) -> Callable[[torch.Tensor], None]:
        @uncompiled
        def commit(parameter: torch.Tensor) -> None:
            if not self.active or not slot.pending:
                return
            try:
                slot.pending = False
                self.signed_sums.commit(slot.index, slot.count)
                slot.count += 1
                if self._processes is not None:
                    self._read_after_reduction(slot.count)
                elif self._expected is None or slot.uneven or slot.count == self._expected:
                    gradient = parameter.grad
                    if gradient is not None:
                        self._squares.put_big(slot.index, gradient)
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
        @uncompiled
        def at_the_end() -> None:
            try:
                if again > 0:
                    self._at_the_end_of_backward(again - 1)
                    return
                self._reading_queued = False
                for slot in self._slots:
                    gradient = slot.parameter.grad
                    if gradient is not None:
                        self._squares.put_big(slot.index, gradient)
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
        return too_many and not self._squares.finite(slot.index)
