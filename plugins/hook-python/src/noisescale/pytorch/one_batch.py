"""One batch as the parts of a step."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext

import torch
from torch import nn

from noisescale.measured_run import MeasuredRun
from noisescale.pytorch.accumulation import Accumulation
from noisescale.pytorch.data_parallel import reduced_later
from noisescale.pytorch.draws import labels_of_rows, parts_of_batch, sizes_differ
from noisescale.pytorch.example_parts import ExampleParts
from noisescale.pytorch.hessian import HessianSteps
from noisescale.pytorch.readings import Part


class OneBatch:
    """Runs the backward passes of a batch on a measured step: of chunks of it, or one in which examples are seen."""

    def __init__(
        self,
        model: nn.Module,
        accumulation: Accumulation,
        examples: ExampleParts,
        hessian: HessianSteps,
        run: MeasuredRun,
        scaled: Callable[[torch.Tensor], torch.Tensor],
        given: Callable[[Part], None],
    ) -> None:
        """Only keeps them.

        Args:
            model: What the loss is of.
            accumulation: Told how many parts come.
            examples: Runs a batch whose examples are the parts.
            hessian: Multiplies the chunks before the last one.
            run: Told of uneven groups, and of a batch that cannot be split.
            scaled: Gives what is differentiated of a loss.
            given: Takes what is known of each chunk.
        """
        self._model = model
        self._accumulation = accumulation
        self._examples = examples
        self._hessian = hessian
        self._run = run
        self._scaled = scaled
        self._given = given

    def backward(
        self,
        loss_fn: Callable[..., torch.Tensor],
        batch: Sequence[torch.Tensor],
        step: int,
        *,
        chunks: int,
        groups: Sequence[int] | torch.Tensor | None,
        per_example: bool,
    ) -> torch.Tensor:
        """As `Watcher.backward`, of which the other arguments are.

        Args:
            loss_fn: Gives the mean loss, shape (), of the examples in its arguments.
            batch: Tensors with one row an example, one row or more.
            step: Number of the step.
            chunks: K.
            groups: Which draw each row is of.
            per_example: The examples are the parts.

        Returns:
            The batch's mean loss, shape (), detached.
        """
        rows = len(batch[0])
        if per_example and groups is None and not self._hessian.due and self._examples.cover(rows, step):

            def forward() -> tuple[torch.Tensor, torch.Tensor]:
                loss = loss_fn(*batch)
                return loss, self._scaled(loss)

            return self._examples.backward(forward, rows, step)
        try:
            labels = None if groups is None else labels_of_rows(groups, rows)
            parts = parts_of_batch(batch, chunks, labels)
        except (TypeError, ValueError) as error:
            labels, parts = None, [tuple(batch)]
            self._run.report.event(step, "warning", "not-split", str(error))
        if labels is not None and sizes_differ(labels):
            self._run.report.event(step, "warning", "groups-uneven")
        self._accumulation.expects(len(parts))
        total = torch.zeros(())
        for number, part in enumerate(parts, 1):
            last = number == len(parts)
            if last and self._hessian.due:
                self._hessian.multiply(loss_fn, part, step)
            share = len(part[0]) / rows
            with nullcontext() if last else reduced_later(self._model):
                loss = loss_fn(*part)
                self._given(Part(len(part[0]), share, loss.detach()))
                self._scaled(loss * share).backward()
            total = total.to(loss.device) + loss.detach() * share
        return total
