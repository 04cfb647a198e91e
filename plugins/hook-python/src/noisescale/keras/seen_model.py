"""Where batches and losses are seen on their way through a Keras model: one instance, whose class stays what it was."""

from collections.abc import Callable
from typing import Any, Protocol

import keras

from noisescale.keras.replacement import Replacement


class Sees(Protocol):
    """What batches and losses are shown to."""

    @property
    def optimizer(self) -> keras.optimizers.Optimizer:
        """The one whose steps are seen."""

    def train_step(self, seen: "SeenTrainStep", *args: Any) -> Any:
        """In place of the model's."""

    def loss_seen(self, loss: Any) -> None:
        """Takes a batch's loss."""


class SeenTrainStep:
    """A model's `train_step`.

    Attributes:
        see: What it is shown to.
        model: The model.
        tracker: The model's mean of losses, whose updates are seen.
        train: The model's own step.
        splits: Whether batches may be split.
    """

    def __init__(self, see: Sees, model: keras.Model, splits: bool) -> None:
        present: Callable[..., Any] = model.train_step
        self.see = see
        self.model = model
        self.tracker = model._loss_tracker
        self.train: Callable[..., Any] = present.train if isinstance(present, SeenTrainStep) else present
        self.splits = splits
        self.__name__ = "train_step"

    def __call__(self, *args: Any) -> Any:
        """Shows a batch to what sees it."""
        if self.model.optimizer is None or innermost(self.model.optimizer) is not self.see.optimizer:
            # The model was compiled anew, and is trained without the callback.
            return self.train(*args)
        return self.see.train_step(self, *args)


class _SeenUpdate:
    """A tracker's `update_state`."""

    def __init__(self, see: Sees, tracker: keras.metrics.Metric) -> None:
        self.see = see
        self._update = tracker.update_state

    def __call__(self, values: Any, sample_weight: Any = None) -> Any:
        self.see.loss_seen(values)
        return self._update(values, sample_weight=sample_weight)


def replacements(model: keras.Model, see: Sees, *, splits: bool = True) -> tuple[Replacement, Replacement]:
    """What a model's training is shown by, once it is put there.

    Args:
        model: A compiled model.
        see: What it is shown to.
        splits: Whether batches may be split.
    """
    tracker = model._loss_tracker
    present = vars(tracker).get("update_state")
    there = isinstance(present, _SeenUpdate) and present.see is see
    update = present if there else _SeenUpdate(see, tracker)
    return (
        Replacement(model, train_step=SeenTrainStep(see, model, splits)),
        Replacement(tracker, update_state=update),
    )


def see_train_step(model: keras.Model, see: Sees, *, splits: bool = True) -> None:
    """Has a model's training shown from now on; arguments as `replacements` has them.

    What it compiled before knows nothing of this; nor does what JAX has compiled for an earlier call, since it looks
    compiled steps up by what is compiled, and this is another object each time.
    """
    for replacement in replacements(model, see, splits=splits):
        replacement.put()
    model.train_function = None


def innermost(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """The optimizer within a LossScaleOptimizer: it is handed unscaled gradients, and none that are not finite."""
    inner = getattr(optimizer, "inner_optimizer", None)
    return innermost(inner) if isinstance(inner, keras.optimizers.Optimizer) else optimizer
