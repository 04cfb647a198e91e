"""Scales a learning rate along with the batch size."""

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="noisescale")
class ScaledSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Another schedule's rate by a factor, and as of another step: factor·schedule(step - offset)."""

    def __init__(self, schedule: keras.optimizers.schedules.LearningRateSchedule, factor: float, offset: int) -> None:
        super().__init__()
        self.schedule = schedule
        self.factor = factor
        self.offset = offset

    def __call__(self, step: Any) -> Any:
        """The rate at a step."""
        return self.schedule(keras.ops.subtract(step, self.offset)) * self.factor

    def get_config(self) -> dict[str, Any]:
        """What Keras saves."""
        schedule = keras.saving.serialize_keras_object(self.schedule)
        return {"schedule": schedule, "factor": self.factor, "offset": self.offset}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "ScaledSchedule":
        """From what Keras saved."""
        return cls(**{**config, "schedule": keras.saving.deserialize_keras_object(config["schedule"])})


def is_scalable(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether a rate is a number or a schedule, and not a function."""
    kinds = keras.Variable, keras.optimizers.schedules.LearningRateSchedule
    return isinstance(optimizer._learning_rate, kinds)


def rescale(optimizer: keras.optimizers.Optimizer, factor: float, offset: int) -> None:
    """Multiplies an optimizer's rate, whose schedule stays where it is while the number that it goes by is moved.

    Args:
        optimizer: Its rate is a number, or a schedule, in whose place comes a `ScaledSchedule`.
        factor: As `BatchSizeChange.learning_rate_factor`.
        offset: What is added to the optimizer's count of batches.
    """
    rate = optimizer._learning_rate
    if isinstance(rate, ScaledSchedule):
        optimizer.learning_rate = ScaledSchedule(rate.schedule, rate.factor * factor, rate.offset + offset)
    elif isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        optimizer.learning_rate = ScaledSchedule(rate, factor, offset)
    elif isinstance(rate, keras.Variable):
        rate.assign(rate.value * factor)
