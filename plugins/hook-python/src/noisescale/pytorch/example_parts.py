"""The examples of one batch as the parts of a step."""

from collections.abc import Callable, Sequence

import torch
from torch import nn

from noisescale.measured_run import MeasuredRun
from noisescale.pytorch.accumulation import Accumulation, PartsChangedError
from noisescale.pytorch.per_example import ExampleSquares, NotCoveredError
from noisescale.pytorch.readings import Part
from noisescale.pytorch.step_squares import Squares


class ExampleParts:
    """Runs one backward pass of a batch, and puts the squares of its examples in place of its own."""

    def __init__(
        self,
        model: nn.Module,
        parameters: Sequence[tuple[nn.Parameter, int]],
        groups: int,
        accumulation: Accumulation,
        run: MeasuredRun,
        failed: Callable[[], None],
    ) -> None:
        """Looks at no layer before it is asked.

        Args:
            model: Holds the parameters.
            parameters: Each with the number of its group, from 0.
            groups: Number of groups (layers).
            accumulation: Reads the square of the batch's gradient.
            run: Told of layers that are not covered.
            failed: Told of any other exception.
        """
        self._model = model
        self._parameters = parameters
        self._groups = groups
        self._accumulation = accumulation
        self._run = run
        self._failed = failed
        self._reader: ExampleSquares | None = None
        # Of the step under way: Σ_i |h_i|² by group, None where a layer turned out not to be covered; and the examples.
        self._found: tuple[torch.Tensor | None, Part] | None = None

    def cover(self, rows: int, step: int) -> bool:
        """Whether every layer is covered, as far as can be seen before the batch, and examples are two or more."""
        reader = self._reader
        if reader is None:
            reader = self._reader = ExampleSquares(self._model, self._parameters, self._groups)
            if reader.problem is not None:
                self._run.report.event(step, "warning", "not-covered", reader.problem)
        return reader.problem is None and rows > 1

    def backward(self, forward: Callable[[], tuple[torch.Tensor, torch.Tensor]], rows: int, step: int) -> torch.Tensor:
        """Runs the batch, which `cover` was asked about.

        Args:
            forward: Gives the mean loss, shape (), and what is differentiated: the same, or scaled.
            rows: Examples of the batch.
            step: Number of the step.

        Returns:
            The mean loss, shape (), detached.
        """
        assert self._reader is not None
        self._accumulation.expects(1, small=False)
        with self._reader.reading(rows):
            loss, differentiated = forward()
            differentiated.backward()
        part = Part(1.0, None, loss.detach(), times=rows)
        try:
            self._found = (self._reader.squares(self._accumulation.used()), part)
        except NotCoveredError as error:
            self._run.report.event(step, "warning", "not-covered", str(error))
            self._found = (None, part)
        except Exception:
            self._failed()
        return loss.detach()

    def take(self, squares: Squares) -> tuple[Squares, list[Part]] | None:
        """The step's squares with those of the examples; None where it has none of this kind.

        Raises:
            PartsChangedError: If another backward pass was run beside.
            NotCoveredError: If some layer was not covered.
        """
        found, self._found = self._found, None
        if found is None:
            return None
        small, part = found
        if squares.parts != 1:
            raise PartsChangedError
        if small is None:
            raise NotCoveredError
        return Squares(part.times, small, squares.big, None), [part]

    def clear(self) -> None:
        """Forgets the step."""
        self._found = None
