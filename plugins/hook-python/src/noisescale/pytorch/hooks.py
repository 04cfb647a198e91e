"""All that sees the gradients of the parameters that an optimizer moves."""

from collections.abc import Callable, Sequence

import torch
from torch import nn

from noisescale.measured_run import MeasuredRun
from noisescale.pytorch.accumulation import Accumulation
from noisescale.pytorch.example_parts import ExampleParts
from noisescale.pytorch.hessian import HessianSteps
from noisescale.pytorch.layers import grouped_by_layer, moved_by
from noisescale.pytorch.one_batch import OneBatch
from noisescale.pytorch.processes import Processes
from noisescale.pytorch.quadratic_forms import AdamMetric
from noisescale.pytorch.readings import Part
from noisescale.pytorch.step_squares import Squares


class Hooks:
    """Is made anew where the optimizer moves others."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        run: MeasuredRun,
        processes: Processes | None,
        *,
        parts: int | None,
        layers: bool,
        hessian_every: int | None,
        preconditioned: bool,
        step: int,
        scaled: Callable[[torch.Tensor], torch.Tensor],
        given: Callable[[Part], None],
        failed: Callable[[], None],
        restarted: Callable[[int], None],
    ) -> None:
        """Gets ready for the step that comes; nothing is hooked before it is measured.

        Args:
            model: Holds the parameters.
            optimizer: Moves them.
            run: Told of the layers, and of what cannot be measured.
            processes: Those that train the model together; None where this one trains alone.
            parts: K where the user says it.
            layers: Squares of each layer too.
            hessian_every: A step in so many has B_noise measured too.
            preconditioned: The squares in Adam's metric too.
            step: Number of the step.
            scaled: Gives what is differentiated of a loss.
            given: Takes what is known of each part of one batch.
            failed: Told of an exception in a hook.
            restarted: Told that a new accumulation began without an optimizer step, with the parts that were given up.
        """
        names, parameters = grouped_by_layer(model, optimizer, layers)
        run.layers = names if layers else None
        metric = AdamMetric(optimizer) if preconditioned else None
        self.accumulation = Accumulation(model, parameters, len(names), parts, processes, metric, failed, restarted)
        self.hessian = HessianSteps(model, self.accumulation, run, processes, hessian_every, step)
        self._examples = ExampleParts(model, parameters, len(names), self.accumulation, run, failed)
        self.one_batch = OneBatch(model, self.accumulation, self._examples, self.hessian, run, scaled, given)
        self._optimizer = optimizer
        self._moved = moved_by(optimizer)

    @property
    def complete(self) -> bool:
        """Whether the optimizer moves no others by now: it may get parameters, and some may be unfrozen."""
        return moved_by(self._optimizer) <= self._moved

    def begin(self, step: int, measured: bool) -> None:
        """Says whether the step that comes is measured; where it is due, the Hessian is too.

        Args:
            step: Its number.
            measured: Whether it is.
        """
        self.accumulation.measure(measured)
        self.hessian.begin(step)

    def take(self, given: Sequence[Part]) -> tuple[Squares, Sequence[Part]] | None:
        """The squares and parts of the step that ends here; begins the next.

        Args:
            given: What is known of each part; the examples' own are taken where these are the parts.

        Returns:
            None if no parameter got a gradient.

        Raises:
            PartsChangedError: If the step had another number of parts than the one before.
            NotCoveredError: If examples were to be the parts, and some layer was not covered.
        """
        try:
            squares = self.accumulation.take()
            return None if squares is None else self._examples.take(squares) or (squares, given)
        finally:
            self._examples.clear()

    def clear(self) -> None:
        """Forgets the step."""
        self.accumulation.clear()
        self._examples.clear()
