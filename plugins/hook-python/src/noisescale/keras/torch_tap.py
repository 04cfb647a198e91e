"""The torch back end: steps run one by one, and what was seen of them is kept beside the optimizer."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import torch

from noisescale.exchange import RankSums
from noisescale.keras.adam_metric import metric_of
from noisescale.keras.replacement import Replacement
from noisescale.keras.rows import rows_of
from noisescale.keras.seen_model import SeenTrainStep, replacements
from noisescale.keras.tap import Tap, TapOptions
from noisescale.measured_run import MeasuredRun
from noisescale.parts import sum_parts
from noisescale.pytorch.squares import ChunkSquares
from noisescale.pytorch.uncompiled import uncompiled
from noisescale.report import EventCode


class _Step:
    """A measured step under way: sums over its parts so far."""

    def __init__(self, number: int, batches: int) -> None:
        self.number = number
        self.batches = batches
        self.ended = False
        self.whole: Any = None
        self.units: list[Any] = []
        self.losses: list[torch.Tensor] = []
        self.small: torch.Tensor | None = None
        self.metric: torch.Tensor | None = None
        self.big: torch.Tensor | None = None
        self.metric_big: torch.Tensor | None = None


class _Reading(NamedTuple):
    """A step whose numbers may still be on the device."""

    step: _Step
    time_ms: float
    learning_rate: torch.Tensor


class TorchTap(Tap):
    """Squares in float64, read a measured step later where they are on an accelerator."""

    def __init__(self, optimizer: keras.optimizers.Optimizer) -> None:
        super().__init__(optimizer)
        self._squares: ChunkSquares | None = None
        self._metric_squares: ChunkSquares | None = None
        self._step: _Step | None = None
        self._reading: _Reading | None = None
        self._of: Sequence[keras.Variable] = ()
        self._model: tuple[Replacement, ...] = ()
        self._seen = False
        # The number of the step that is seen, which the run was not told the end of.
        self._under_way: int | None = None
        # Of a LossScaleOptimizer, which waits for the device itself, and leaves batches out.
        self._asks = False

    def _wrapped(self, method: Callable[..., Any]) -> Callable[..., Any]:
        return uncompiled(method)

    def _reserve(self, options: TapOptions) -> None:
        self._step = None
        tensors = [variable.value for variable in self.optimizer._trainable_variables]

        def places(numbers: Sequence[int], groups: int) -> ChunkSquares:
            sizes = [tensor.numel() for tensor in tensors]
            wide = any(tensor.dtype is torch.float64 for tensor in tensors)
            dtype = torch.float64 if wide else torch.float32
            return ChunkSquares(sizes, numbers, groups, rows=1, device=tensors[0].device, dtype=dtype)

        self._squares = places(options.numbers, options.groups)
        self._metric_squares = places([0] * len(tensors), 1) if options.metric else None

    def begin(self, run: MeasuredRun) -> None:
        """Looks where the optimizer stands."""
        super().begin(run)
        self._epoch_from = self._batches = self._count()
        step = self._step
        if step is not None and divmod(self._batches, self.accumulated) == (step.number, len(step.units)):
            # Begun in an earlier run.
            self._look()
        else:
            self._step, self._under_way = None, None

    def end(self) -> None:
        """Has the training be what it was."""
        super().end()
        self._pass_by()

    def epoch_begins(self, model: keras.Model) -> None:
        """Looks where the optimizer stands: a callback may have loaded another state."""
        self._asks = model.optimizer is not self.optimizer
        self._epoch_from = self._batches = self._count()

    def batch_begins(self, model: keras.Model, batch: int) -> None:
        """Says which step ended, and has the next one seen if it is to be measured."""
        self._advance(self._count() if self._asks else self._epoch_from + batch)
        self._begin_step()

    def _begin_step(self) -> None:
        number, place = divmod(self._batches, self.accumulated)
        run = self.run
        if place == 0 and self._under_way != number and run is not None:
            self._under_way = number
            if run.cadence.measures(number) and not run.off:
                self._step = _Step(number, self.accumulated)
                self._look()
            elif self._seen:
                self._pass_by()

    def epoch_ends(self, model: keras.Model) -> None:
        """Says which step ended."""
        self._advance(self._count())

    def _advance(self, batches: int) -> None:
        steps = range(self._batches // self.accumulated, batches // self.accumulated)
        self._batches = batches
        for number in steps:
            if self.run is not None:
                self.run.step_ended(number, self._seen and number == self._under_way)

    def _see(self, model: keras.Model, *, again: bool) -> None:
        self._pass_by()
        self._model = replacements(model, self)

    def _look(self) -> None:
        """Puts what sees a measured step in its place."""
        self._seen = True
        for replacement in (self._methods, *self._model):
            replacement.put()

    def _pass_by(self) -> None:
        """Between measured steps what runs is what runs without the hook."""
        self._seen = False
        for replacement in (self._methods, *self._model):
            replacement.take_back()

    def train_step(self, seen: SeenTrainStep, *args: Any) -> Any:
        """Notes a batch's units before the optimizer is handed its gradients; its loss is seen on the way."""
        self._before(seen.model, *args)
        return seen.train(*args)

    @uncompiled
    def _before(self, model: keras.Model, data: Any) -> None:
        step, options = self._step, self.options
        self._units = self._loss = None
        if step is None or options is None:
            return
        try:
            if options.splits and rows_of(data) < options.parts:
                self._leave_out(step, "part-sizes")
                return
            self._units = options.units_of(data)
            if options.splits:
                self._split(step, model, data, options)
        except Exception as error:
            self._give_up(step, error)

    def read_all(self) -> None:
        """Takes the numbers of the last measured step off the device."""
        reading, self._reading = self._reading, None
        if reading is None or self.run is None:
            return
        try:
            self.run.pass_on(_sums(reading))
        except Exception as error:
            self._failed(reading.step.number, error)

    def _applied(self, grads: Sequence[torch.Tensor], variables: Sequence[keras.Variable]) -> None:
        if self.run is None:
            self._without_run()
        step = self._step
        if step is not None and self.accumulated > 1:
            self._of = variables
            try:
                self._take_part(step, grads)
            except Exception as error:
                self._give_up(step, error)
        self._apply(grads, variables)
        if step is not None and step.ended and self._step is step:
            try:
                self._finish(step)
            except Exception as error:
                self._give_up(step, error)

    def _clipped(self, grads: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        step = self._step
        if step is not None:
            step.ended = True
        if step is not None and self.accumulated > 1:
            try:
                # Σ h_k, where h_k is the K-th part of a micro gradient.
                step.big = self._squares_of(grads)
                step.metric_big = self._metric_squares_of(grads)
            except Exception as error:
                self._give_up(step, error)
        return self._clip(grads)

    def _take_part(self, step: _Step, grads: Sequence[torch.Tensor]) -> None:
        small, metric = self._squares_of(grads), self._metric_squares_of(grads)
        step.small = small if step.small is None else step.small + small
        if metric is not None:
            step.metric = metric if step.metric is None else step.metric + metric
        step.units.append(self._units)
        self._take_loss(step)

    def _take_loss(self, step: _Step) -> None:
        if self._loss is not None:
            step.losses.append(self._loss.detach())

    def _split(self, step: _Step, model: keras.Model, data: Any, options: TapOptions) -> None:
        """Squares of the gradients of parts of one batch, and of their mean; variables and gradients stay untouched."""
        chunks = options.parts
        rows = rows_of(data) // chunks
        step.whole = self._units
        self._of = self.optimizer._trainable_variables
        tensors = [variable.value for variable in self._of]
        scale = model.optimizer.scale_loss(torch.ones((), device=tensors[0].device))
        total: list[torch.Tensor] = []
        # One scope for all parts, so that each draws random numbers of its own.
        with keras.StatelessScope(), torch.enable_grad():
            for k in range(chunks):
                part = keras.tree.map_structure(lambda array, k=k: array[k * rows : (k + 1) * rows], data)
                x, y, weight = keras.utils.unpack_x_y_sample_weight(part)
                training = {"training": True} if model._call_has_training_arg else {}
                loss = model._compute_loss(x=x, y=y, y_pred=model(x, **training), sample_weight=weight, training=True)
                found = torch.autograd.grad(loss * scale, tensors, allow_unused=True)
                grads = [torch.zeros_like(t) if g is None else g / scale for g, t in zip(found, tensors, strict=True)]
                self._units = options.units_of(part)
                self._take_part(step, grads)
                total = grads if k == 0 else [a + g for a, g in zip(total, grads, strict=True)]
        mean = [gradient / chunks for gradient in total]
        step.big, step.metric_big = self._squares_of(mean), self._metric_squares_of(mean)
        step.losses = []

    def _squares_of(self, grads: Sequence[torch.Tensor]) -> torch.Tensor:
        assert self._squares is not None
        self._squares.clear()
        for gradient, variable in zip(grads, self._of, strict=True):
            self._squares.put(0, self.optimizer._get_variable_index(variable), gradient)
        return self._squares.squares()

    def _metric_squares_of(self, grads: Sequence[torch.Tensor]) -> torch.Tensor | None:
        if self._metric_squares is None or int(self.optimizer.iterations) < 1:
            return None
        self._metric_squares.clear()
        for gradient, variable in zip(grads, self._of, strict=True):
            factor = metric_of(self.optimizer, variable).sqrt()
            self._metric_squares.put(0, self.optimizer._get_variable_index(variable), gradient * factor)
        return self._metric_squares.squares()

    def _finish(self, step: _Step) -> None:
        self._step = None
        if self.accumulated == 1:
            self._take_loss(step)
        elif len(step.units) != self.accumulated:
            # Seen from the middle of a step on.
            self._leave_out(step, "parts-changed")
            return
        self.read_all()
        rate = torch.as_tensor(keras.ops.convert_to_tensor(self.optimizer._get_current_learning_rate()))
        self._reading = _Reading(step, time.time() * 1000, rate.detach().clone())
        if rate.device.type == "cpu":
            self.read_all()

    def _take_back(self, model: keras.Model) -> None:
        """The variables are those of the training."""

    def _moved(self, model: keras.Model, batches: int) -> None:
        super()._moved(model, batches)
        self._under_way = None
        self._begin_step()

    def _leave_out(self, step: _Step, why: EventCode) -> None:
        self._step = None
        if self.run is not None:
            self.run.pass_on(RankSums(step.number, why))

    def _give_up(self, step: _Step, error: Exception) -> None:
        self._step = None
        self._failed(step.number, error)


def _sums(reading: _Reading) -> RankSums:
    step = reading.step
    assert step.small is not None
    assert step.big is not None
    parts = len(step.units)
    numbers = torch.stack([step.small / parts**2, step.big]).cpu()
    if not bool(numbers.isfinite().all()):
        return RankSums(step.number, "not-finite")
    small, big = numbers.tolist()
    units = [float(part) for part in step.units]
    whole = sum(units) if step.whole is None else float(step.whole)
    if not all(0 < number < math.inf for number in [*units, whole]):
        return RankSums(step.number, "part-sizes")
    sums = sum_parts(units, [1 / parts] * parts)
    metric = None
    if step.metric is not None and step.metric_big is not None:
        metric = (float(step.metric) / parts**2, float(step.metric_big))
    return RankSums(
        step=step.number,
        dropped=None,
        time_ms=reading.time_ms,
        learning_rate=float(reading.learning_rate),
        parts=sums.parts,
        units=whole,
        weight=sums.weight,
        squared_weight=sums.squared_weight,
        variance=sums.variance,
        small=small,
        big=big,
        loss=sum(float(loss) for loss in step.losses) / step.batches if len(step.losses) == step.batches else None,
        metric=metric,
    )
