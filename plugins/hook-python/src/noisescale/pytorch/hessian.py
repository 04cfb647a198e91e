"""B_noise: on which steps it is measured, and what was measured."""

import random
from collections.abc import Callable, Sequence

import torch
from torch import nn

from noisescale.measured_run import MeasuredRun
from noisescale.pytorch.accumulation import Accumulation
from noisescale.pytorch.data_parallel import not_reduced
from noisescale.pytorch.processes import Processes
from noisescale.pytorch.quadratic_forms import hessian_forms, left_as_it_was


class HessianSteps:
    """A measured step in so many is due: then the parts' gradients are added up under random signs too.

    Attributes:
        forms: How many parts' gradients were multiplied with the Hessian in this step, and their two forms, shape (2,),
            float64; None where it was not done.
    """

    def __init__(
        self,
        model: nn.Module,
        accumulation: Accumulation,
        run: MeasuredRun,
        processes: Processes | None,
        every: int | None,
        first_step: int,
    ) -> None:
        """Gets ready for the first step.

        Args:
            model: Put back as it was after each product.
            accumulation: Sees the parts' gradients.
            run: Told of a loss that cannot be differentiated twice.
            processes: Those that train the model together; None where this one trains alone.
            every: A step in so many is due; None: none is.
            first_step: Number of the first step.
        """
        self.forms: tuple[int, torch.Tensor] | None = None
        self._model = model
        self._accumulation = accumulation
        self._run = run
        self._every = every
        self._next = first_step
        # Other processes draw other signs.
        rank, size = (0, 1) if processes is None else (processes.rank, processes.size)
        self._signs = random.Random(first_step * size + rank)
        if size > 1 and every is not None and any(isinstance(module, nn.SyncBatchNorm) for module in model.modules()):
            # Its backward pass waits for the other processes, and has no derivative.
            self._give_up(first_step)

    def begin(self, step: int) -> None:
        """Says whether the step that comes, if it is measured, is due."""
        self.forms = None
        due = self._every is not None and step >= self._next and self._accumulation.active
        if due and self._every is not None:
            self._next = step + self._every
        self._accumulation.signed_sums.signs = self._signs if due else None

    @property
    def due(self) -> bool:
        """Whether it is measured in the step under way."""
        return self._accumulation.signed_sums.signs is not None and self._accumulation.active

    def multiply(self, loss_fn: Callable[..., torch.Tensor], batch: Sequence[torch.Tensor], step: int) -> None:
        """Multiplies the parts so far with the second derivative of a loss; never raises.

        Args:
            loss_fn: Gives the mean loss, shape (), of the examples in its arguments.
            batch: Its arguments.
            step: Number of the step.
        """
        directions = self._accumulation.directions()
        if directions is None:
            return
        self._accumulation.active = False
        try:
            with left_as_it_was(self._model), not_reduced(self._model):
                forms = hessian_forms(
                    lambda: loss_fn(*batch), directions.parameters, [directions.signed, directions.total]
                )
            self.forms = (directions.parts, forms)
        except Exception:
            self._give_up(step)
        finally:
            self._accumulation.active = True

    def _give_up(self, step: int) -> None:
        self._every = None
        self._run.report.event(step, "unavailable", "hessian-failed")
