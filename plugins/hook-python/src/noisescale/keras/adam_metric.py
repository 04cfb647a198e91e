"""Adam's own metric, from what Keras' optimizers of its kind keep."""

from typing import Any

import keras


def has_metric(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether an optimizer's state holds what the metric is made of."""
    return all(hasattr(optimizer, name) for name in ("beta_2", "epsilon", "_velocities"))


def metric_of(optimizer: keras.optimizers.Optimizer, variable: keras.Variable) -> Any:
    """P in the variable's shape: 1/(√v̂ + ε̂), as the optimizer's next update divides by.

    v̂ is the second moment from before the step, so that P does not know the gradient that it measures. Keras divides by
    √v + ε, and takes v's bias correction √(1 − β₂ᵗ) into the rate; here it is in the metric: ε̂ = ε/√(1 − β₂ᵗ). Only
    after the first step.
    """
    ops = keras.ops
    index = optimizer._get_variable_index(variable)
    kept = optimizer._velocity_hats if getattr(optimizer, "amsgrad", False) else optimizer._velocities
    moment = kept[index].value
    updates = ops.cast(optimizer.iterations, moment.dtype)
    correction = ops.sqrt(1 - ops.power(ops.cast(optimizer.beta_2, moment.dtype), updates))
    return correction / (ops.sqrt(moment) + optimizer.epsilon)
