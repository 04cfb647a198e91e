"""Where gradients are seen on their way through a Keras optimizer.

An optimizer's `_backend_apply_gradients` is handed each micro gradient, unscaled, and its `_clip_gradients` their mean.
Both are replaced on the one instance, whose class, and so what is saved of it, stays what it was.
"""

import contextlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import keras

from noisescale.keras.learning_rate import rescale
from noisescale.keras.replacement import Replacement
from noisescale.keras.saved_state import leave_out_when_saved
from noisescale.keras.seen_model import SeenTrainStep, innermost
from noisescale.measured_run import MeasuredRun
from noisescale.report import EventCode

_log = logging.getLogger("noisescale")

_OptimizerT = TypeVar("_OptimizerT", bound=keras.optimizers.Optimizer)

Array = Any
"""A tensor of the back end."""


class NotSeenError(Exception):
    """The gradients do not pass where they could be seen."""

    def __init__(self, code: EventCode) -> None:
        super().__init__(code)
        self.code: EventCode = code


class TapOptions(NamedTuple):
    """What a tap is to see.

    Attributes:
        numbers: Number of each trainable variable's group.
        groups: How many there are.
        metric: Whether Adam's metric is taken too.
        parts: K.
        splits: Whether they are of one batch, where the optimizer does not accumulate any.
        units_of: Units of a batch, as `train_step` is handed it.
    """

    numbers: tuple[int, ...]
    groups: int
    metric: bool
    parts: int
    splits: bool
    units_of: Callable[[Any], Any]


class Tap(ABC):
    """One optimizer's. Passes everything on as it is, and measures while there is a run."""

    def __init__(self, optimizer: keras.optimizers.Optimizer) -> None:
        self.optimizer = optimizer
        self.run: MeasuredRun | None = None
        self.options: TapOptions | None = None
        self._apply = optimizer._backend_apply_gradients
        self._clip = optimizer._clip_gradients
        self._said = False
        self._units: Any = None
        self._loss: Array | None = None
        # By the callback's own count of batches; the optimizer's may be on an accelerator.
        self._epoch_from = 0
        self._batches = 0
        methods: dict[str, Callable[..., Any]] = {
            "_backend_apply_gradients": self._applied,
            "_clip_gradients": self._clipped,
        }
        self._methods = Replacement(optimizer, **{name: self._wrapped(method) for name, method in methods.items()})
        self._methods.put()
        vars(optimizer)["_noisescale_tap"] = self

    @property
    def accumulated(self) -> int:
        """K, the batches of one optimizer step."""
        return self.optimizer.gradient_accumulation_steps or 1

    @property
    def step(self) -> int:
        """Number of the optimizer step that comes next; waits for the device."""
        return self._count() // self.accumulated

    @property
    def own_variables(self) -> Sequence[keras.Variable]:
        """What was added to the optimizer's variables."""
        return ()

    def silence(self) -> None:
        """Has nothing said of an optimizer that is wrapped and not measured."""
        self._said = True

    def prepare(self, model: keras.Model, options: TapOptions) -> None:
        """Puts what is needed in place, before a training that is compiled is compiled."""
        self.silence()
        again = options != self.options
        if again:
            self.options = options
            self._reserve(options)
        self._see(model, again=again)

    def begin(self, run: MeasuredRun) -> None:
        """Measures from the next step on."""
        self.run = run

    def end(self) -> None:
        """Measures no further."""
        self.read_all()
        self.run = None

    def accumulate(self, model: keras.Model, batches: int, learning_rate_factor: float | None) -> bool:
        """Has the optimizer accumulate another number of batches from the one on that comes next.

        Its count of steps, which bias corrections go by, and the batches that a schedule has seen stay as they are: the
        optimizer's own number is one of batches, of which a step now has others, and the schedule's is moved along.

        Args:
            model: The model that trains.
            batches: K, 2 or more.
            learning_rate_factor: As `BatchSizeChange` has it.

        Returns:
            False, with nothing changed, while a step is under way.
        """
        self._take_back(model)
        optimizer, options = self.optimizer, self.options
        steps, under_way = divmod(self._count(), self.accumulated)
        if under_way or options is None:
            return False
        self.read_all()
        moved = steps * (batches - self.accumulated)
        rescale(optimizer, 1.0 if learning_rate_factor is None else learning_rate_factor, moved)
        optimizer._iterations.assign_add(moved)
        optimizer.gradient_accumulation_steps = batches
        self.prepare(model, options._replace(parts=batches))
        model.make_train_function()
        self._moved(model, moved)
        return True

    @abstractmethod
    def epoch_begins(self, model: keras.Model) -> None:
        """Looks where the optimizer stands; may wait for the device."""

    @abstractmethod
    def batch_begins(self, model: keras.Model, batch: int) -> None:
        """Takes what is there, before a batch is trained on; in the thread that trains.

        Args:
            model: The model that trains.
            batch: Number of batches of this epoch so far.
        """

    @abstractmethod
    def epoch_ends(self, model: keras.Model) -> None:
        """Takes what is there; may wait for the device."""

    @abstractmethod
    def read_all(self) -> None:
        """Takes the numbers that are still on the device."""

    @abstractmethod
    def _reserve(self, options: TapOptions) -> None:
        """Makes the places that squares are kept in."""

    @abstractmethod
    def _see(self, model: keras.Model, *, again: bool) -> None:
        """Gets ready to see a model's batches and losses.

        Args:
            model: A compiled model.
            again: Whether what was made ready for it before is of other options.
        """

    @abstractmethod
    def _take_back(self, model: keras.Model) -> None:
        """Has the variables hold what they are in the training; may wait for the device."""

    def _moved(self, model: keras.Model, batches: int) -> None:
        """Takes it that the optimizer's count of batches was moved by so many."""
        self._epoch_from += batches
        self._batches += batches

    def _wrapped(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """What is put in place of one of the optimizer's methods."""
        return method

    @abstractmethod
    def train_step(self, seen: SeenTrainStep, *args: Any) -> Any:
        """In place of the model's."""

    def loss_seen(self, loss: Array) -> None:
        """Takes a batch's loss."""
        self._loss = loss

    @abstractmethod
    def _applied(self, grads: Sequence[Array], variables: Sequence[keras.Variable]) -> None:
        """In place of the optimizer's `_backend_apply_gradients`."""

    @abstractmethod
    def _clipped(self, grads: Sequence[Array]) -> Sequence[Array]:
        """In place of the optimizer's `_clip_gradients`."""

    def _count(self) -> int:
        """Batches that the optimizer has taken; waits for the device."""
        return int(keras.ops.convert_to_numpy(self.optimizer._iterations))

    def _without_run(self) -> None:
        if not self._said:
            self._said = True
            _log.warning(
                "noisescale: the optimizer is wrapped, but noisescale.keras.Callback() is not among the callbacks of "
                "fit: nothing is measured"
            )

    def _failed(self, step: int, error: Exception) -> None:
        if self.run is not None:
            self.run.failed(step, error)


def wrap(optimizer: _OptimizerT) -> _OptimizerT:
    """Has an optimizer's gradients seen by `noisescale.keras.Callback`, which does so itself where this is left out.

    Training, saving and loading go on as with the optimizer itself, whose class and settings stay.

    Args:
        optimizer: A Keras 3 optimizer, also a LossScaleOptimizer around one.

    Returns:
        The same optimizer.

    Raises:
        TypeError: If it is none, such as the name of one.
    """
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        raise TypeError(f"optimizer: must be a keras.optimizers.Optimizer, got {optimizer!r}")
    # What cannot be seen is said when training begins, where there is a run to say it to.
    with contextlib.suppress(NotSeenError):
        tap_of(optimizer)
    return optimizer


def tap_of(optimizer: keras.optimizers.Optimizer) -> Tap:
    """The tap of an optimizer, put in where there is none.

    Raises:
        NotSeenError: If its gradients cannot be seen.
    """
    inner = innermost(optimizer)
    if isinstance(inner, keras.optimizers.MultiOptimizer):
        raise NotSeenError("several-optimizers")
    tap = vars(inner).get("_noisescale_tap")
    if not isinstance(tap, Tap):
        tap = _tap_class()(inner)
    for saved in (optimizer, inner):
        leave_out_when_saved(saved, lambda: tap.own_variables, tap.optimizer)
    return tap


def _tap_class() -> Callable[[keras.optimizers.Optimizer], Tap]:
    if keras.backend.backend() == "torch":
        from noisescale.keras.torch_tap import TorchTap

        return TorchTap
    if keras.backend.backend() == "jax":
        from noisescale.keras.jax_tap import JaxTap

        return JaxTap
    raise NotSeenError("back-end")
