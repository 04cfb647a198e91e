"""The torch back end: steps run one by one, and what was seen of them is kept beside the optimizer."""

import math
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import torch

from noisescale.exchange import RankSums
from noisescale.keras.adam_metric import metric_of
from noisescale.keras.rows import rows_of
from noisescale.keras.seen_model import SeenTrainStep
from noisescale.keras.tap import Tap, TapOptions
from noisescale.measured_run import MeasuredRun
from noisescale.parts import sum_parts
from noisescale.pytorch.squares import ChunkSquares


class _Step:
    """A step under way: sums over its parts so far."""

    def __init__(self, number: int, batches: int) -> None:
        self.number = number
        self.batches = batches
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
        # A compiled training step calls these as they are.
        for name in ("_backend_apply_gradients", "_clip_gradients"):
            vars(optimizer)[name] = torch.compiler.disable(vars(optimizer)[name])
        self._squares: ChunkSquares | None = None
        self._metric_squares: ChunkSquares | None = None
        self._step: _Step | None = None
        self._reading: _Reading | None = None
        self._ended: list[tuple[int, bool]] = []
        self._of: Sequence[keras.Variable] = ()
        self._last_part = False
        # Batches that the optimizer has taken, by a count of our own: its own number may be on an accelerator.
        self._taken = 0

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
        self._taken = self._count()

    def epoch_begins(self, model: keras.Model) -> None:
        """Looks where the optimizer stands: a callback may have loaded another state."""
        self._taken = self._count()

    def train_step(self, seen: SeenTrainStep, *args: Any) -> Any:
        """Notes a batch's units before the optimizer is handed its gradients; its loss is seen on the way."""
        self._before(seen.model, *args)
        return seen.train(*args)

    def _before(self, model: keras.Model, data: Any) -> None:
        run, options = self.run, self.options
        self._units = self._loss = None
        if run is None or options is None:
            return
        number, place = divmod(self._taken, self.accumulated)
        try:
            if place == 0:
                self._step = None
                if run.cadence.measures(number) and not run.off:
                    self._step = self._begun(number, data, options)
            if self._step is not None:
                self._units = options.units_of(data)
                if options.splits:
                    self._split(self._step, model, data, options)
        except Exception as error:
            self._give_up(number, error)

    def _begun(self, number: int, data: Any, options: TapOptions) -> _Step | None:
        if not options.splits:
            # One batch that nobody asked to split is no part of anything.
            return _Step(number, self.accumulated) if self.accumulated > 1 else None
        if rows_of(data) >= options.parts:
            return _Step(number, 1)
        assert self.run is not None
        self.run.pass_on(RankSums(number, "part-sizes"))
        return None

    def batch_begins(self, model: keras.Model, batch: int) -> None:
        """Says which step ended."""
        run, ended = self.run, self._ended
        self._ended = []
        if run is not None:
            for step, measured in ended:
                run.step_ended(step, measured)

    def epoch_ends(self, model: keras.Model) -> None:
        """Says which step ended."""
        self.batch_begins(model, 0)

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
        run = self.run
        if run is None:
            self._without_run()
            self._apply(grads, variables)
            return
        number, place = divmod(self._taken, self.accumulated)
        self._taken += 1
        self._of = variables
        self._last_part = place == self.accumulated - 1
        if self._step is not None and self.accumulated > 1:
            try:
                self._take_part(self._step, grads)
            except Exception as error:
                self._give_up(number, error)
        self._apply(grads, variables)
        if self._last_part:
            self._step_ended(number)

    def _clipped(self, grads: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        step = self._step
        if self.run is not None and step is not None and self._last_part and self.accumulated > 1:
            try:
                # Σ h_k, where h_k is the K-th part of a micro gradient.
                step.big = self._squares_of(grads)
                step.metric_big = self._metric_squares_of(grads)
            except Exception as error:
                self._give_up(step.number, error)
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

    def _step_ended(self, number: int) -> None:
        step, self._step = self._step, None
        if step is not None and self.accumulated == 1:
            self._take_loss(step)
        if step is not None and step.big is not None:
            self.read_all()
            rate = torch.as_tensor(keras.ops.convert_to_tensor(self.optimizer._get_current_learning_rate()))
            self._reading = _Reading(step, time.time() * 1000, rate.detach().clone())
            if step.big.device.type == "cpu":
                self.read_all()
        self._ended.append((number, step is not None))

    def _take_back(self, model: keras.Model) -> None:
        """The variables are those of the training."""

    def _moved(self, model: keras.Model, batches: int) -> None:
        self._taken += batches

    def _give_up(self, number: int, error: Exception) -> None:
        self._step = None
        self._failed(number, error)


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
