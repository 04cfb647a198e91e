"""Small trainings with Keras, and the parts' gradients computed one by one beside them, on either back end."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

import noisescale
from noisescale.wire import Measurement

# Rounding of float32 gradients, and of the differences of weights that they are told from.
FLOAT32 = 1e-4

Array = np.ndarray[Any, np.dtype[Any]]
Gradients = dict[str, Array]


def network(*more: keras.layers.Layer, dtype: str | None = None) -> keras.Model:
    """Two layers, with others between them."""
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.layers.Input((20,), name="rows"),
            keras.layers.Dense(300, activation="tanh", name="first", dtype=dtype),
            *more,
            keras.layers.Dense(5, name="second", dtype=dtype),
        ],
        name="net",
    )


def data(rows: int, seed: int = 1) -> tuple[Array, Array]:
    generator = np.random.default_rng(seed)
    return generator.normal(size=(rows, 20)).astype("float32"), generator.integers(0, 5, rows)


def batches(rows: Sequence[Array], size: int) -> list[list[Array]]:
    """Batches of an epoch, the last of which may be smaller."""
    return [[array[i : i + size] for array in rows] for i in range(0, len(rows[0]), size)]


def cross_entropy() -> keras.losses.Loss:
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def gradients(model: keras.Model, parts: Sequence[Sequence[Array]]) -> list[Gradients]:
    """Each part's mean gradient: what one step of plain SGD with rate 1 takes off the weights, without the hook.

    Args:
        model: Keeps its weights.
        parts: Each x, y and maybe sample weights.
    """
    before = model.get_weights()
    trained = {weight.path for weight in model.trainable_weights}
    other = keras.models.clone_model(model)
    other.compile(keras.optimizers.SGD(1.0), loss=cross_entropy())
    seen = []
    for part in parts:
        other.set_weights(before)
        other.train_on_batch(*part)
        moved = zip(model.weights, before, other.get_weights(), strict=True)
        seen.append({w.path: a.astype("float64") - b.astype("float64") for w, a, b in moved if w.path in trained})
    return seen


def squares(parts: Sequence[Gradients]) -> tuple[dict[str, float], dict[str, float]]:
    """Mean of the parts' squared norms, and the squared norm of their mean, by layer."""
    small: dict[str, float] = {}
    big: dict[str, float] = {}
    for name in parts[0]:
        layer = name.rsplit("/", 1)[0].replace("/", ".")
        small[layer] = small.get(layer, 0) + float(np.mean([(part[name] ** 2).sum() for part in parts]))
        big[layer] = big.get(layer, 0) + float((np.mean([part[name] for part in parts], axis=0) ** 2).sum())
    return small, big


def fit(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    rows: Sequence[Array],
    *,
    size: int = 8,
    epochs: int = 1,
    compiled: dict[str, Any] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    **options: Any,
) -> tuple[list[Measurement], noisescale.keras.Callback]:
    """A training whose rows come in order, and whose steps are all measured.

    Args:
        model: What is trained.
        optimizer: By it, wrapped.
        rows: x, y and maybe sample weights.
        size: Of a batch.
        epochs: How many.
        compiled: More for `compile`.
        callbacks: More for `fit`.
        options: Of the callback.
    """
    seen: list[Measurement] = []
    callback = noisescale.keras.Callback(
        **{"sink": seen.append, "every": 1, "layers": True, "user_runs": False, **options}
    )
    model.compile(noisescale.keras.wrap(optimizer), loss=cross_entropy(), **(compiled or {}))
    train(model, rows, [*callbacks, callback], size=size, epochs=epochs)
    return seen, callback


def train(
    model: keras.Model,
    rows: Sequence[Array],
    callbacks: Sequence[keras.callbacks.Callback] = (),
    *,
    size: int = 8,
    epochs: int = 1,
    first_epoch: int = 0,
) -> None:
    """`fit` with rows in order."""
    model.fit(
        rows[0],
        rows[1],
        sample_weight=rows[2] if len(rows) > 2 else None,
        batch_size=size,
        epochs=epochs,
        initial_epoch=first_epoch,
        shuffle=False,
        verbose=0,
        callbacks=list(callbacks),
    )
