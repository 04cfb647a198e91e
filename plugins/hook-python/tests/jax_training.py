"""A small training in JAX, and the squares that its measurements are compared with."""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from noisescale.jax.sums import Tree, named_leaves
from noisescale.wire import Measurement

# Rounding of float32 sums over a few hundred elements.
FLOAT32 = 1e-4

Params = dict[str, dict[str, jax.Array]]
Squares = dict[str, float]


def network(seed: int = 0, dtype: Tree = jnp.float32) -> Params:
    draws = np.random.default_rng(seed)
    shapes = {"first": (12, 30), "last": (30, 5)}
    return {
        name: {
            "kernel": jnp.asarray(draws.normal(size=shape) / shape[0] ** 0.5, dtype),
            "bias": jnp.zeros(shape[1], dtype),
        }
        for name, shape in shapes.items()
    }


def batch_of(rows: int, seed: int = 1) -> tuple[jax.Array, jax.Array]:
    draws = np.random.default_rng(seed)
    return jnp.asarray(draws.normal(size=(rows, 12)), jnp.float32), jnp.asarray(draws.integers(0, 5, rows))


def losses_of(params: Params, x: jax.Array, y: jax.Array) -> jax.Array:
    hidden = jnp.tanh(x @ params["first"]["kernel"] + params["first"]["bias"])
    logits = hidden @ params["last"]["kernel"] + params["last"]["bias"]
    return -jnp.take_along_axis(jax.nn.log_softmax(logits.astype(jnp.float32)), y[:, None], 1)[:, 0]


def loss(params: Params, x: jax.Array, y: jax.Array) -> jax.Array:
    return losses_of(params, x, y).mean()


def token_loss(params: Params, x: jax.Array, y: jax.Array) -> jax.Array:
    """A mean over the rows whose first value is above -0.5: the others are padding."""
    valid = valid_rows(x)
    return (losses_of(params, x, y) * valid).sum() / valid.sum()


def valid_rows(x: jax.Array) -> jax.Array:
    return x[:, 0] > -0.5


@functools.cache
def compiled_gradient(loss_fn: Callable[..., jax.Array]) -> Callable[..., Params]:
    return jax.jit(jax.grad(loss_fn))


def cut(batch: Sequence[jax.Array], sizes: Sequence[int]) -> list[list[jax.Array]]:
    """The parts of a batch, of so many rows each."""
    ends = np.cumsum(sizes)
    return [[x[end - size : end] for x in batch] for size, end in zip(sizes, ends, strict=True)]


def brute_force(
    loss_fn: Callable[..., jax.Array], params: Params, parts: Sequence[Sequence[jax.Array]], weights: Sequence[float]
) -> tuple[Squares, Squares]:
    """Σ|h_k|² and |Σh_k|² by parameter: a gradient of each part by itself, weighted and squared in float64."""
    gradient_of = compiled_gradient(loss_fn)
    gradients = [
        {name: np.asarray(leaf, np.float64) for name, leaf in named_leaves(gradient_of(params, *part)).items()}
        for part in parts
    ]
    small: Squares = {}
    big: Squares = {}
    for name in gradients[0]:
        parts_of = [weight * gradient[name] for weight, gradient in zip(weights, gradients, strict=True)]
        small[name] = sum(float(np.square(h).sum()) for h in parts_of)
        big[name] = float(np.square(sum(parts_of)).sum())
    return small, big


def assert_gradient(gradient: Tree, expected: Tree, rtol: float = FLOAT32) -> None:
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(np.asarray(a, float), np.asarray(b, float), rtol=rtol, atol=1e-6),
        gradient,
        expected,
    )


def assert_measured(
    measurement: Measurement,
    expected: tuple[Squares, Squares],
    sizes: Sequence[float],
    weights: Sequence[float],
    rtol: float = FLOAT32,
) -> None:
    """The general form of the wire, totals and layers."""
    small, big = expected
    weight, square = sum(weights), sum(w * w for w in weights)
    variance = sum(w * w / n for w, n in zip(weights, sizes, strict=True))
    np.testing.assert_allclose(measurement["small"]["squared_norm"], sum(small.values()) / square, rtol=rtol)
    np.testing.assert_allclose(measurement["big"]["squared_norm"], sum(big.values()) / weight**2, rtol=rtol)
    np.testing.assert_allclose(measurement["small"]["batch_size"], square / variance, rtol=1e-6)
    np.testing.assert_allclose(measurement["big"]["batch_size"], weight**2 / variance, rtol=1e-6)
    np.testing.assert_allclose(measurement["units"], sum(sizes), rtol=1e-6)
    assert measurement["small"]["count"] == len(sizes)
    layers: dict[str, tuple[float, float]] = {}
    for name in small:
        layer = name.rpartition(".")[0]
        so_far = layers.get(layer, (0.0, 0.0))
        layers[layer] = (so_far[0] + small[name] / square, so_far[1] + big[name] / weight**2)
    assert set(measurement["layers"]) == set(layers)
    for layer, squares in layers.items():
        np.testing.assert_allclose(measurement["layers"][layer], squares, rtol=rtol)
