"""Trains a small network of flax nnx on scikit-learn's handwritten digits, with optax.

pip install noisescale flax optax scikit-learn
npx pnpm@12 noisescale serve          # in the checkout, in another terminal
python examples/jax_digits.py
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from sklearn.datasets import load_digits

import noisescale

PARTS, BATCH, STEPS = 4, 64, 600


class Network(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.hidden = nnx.Linear(64, 128, rngs=rngs)
        self.last = nnx.Linear(128, 10, rngs=rngs)

    def __call__(self, images: jax.Array) -> jax.Array:
        return self.last(nnx.relu(self.hidden(images)))


def loss_fn(model: Network, images: jax.Array, labels: jax.Array) -> jax.Array:
    losses: jax.Array = optax.softmax_cross_entropy_with_integer_labels(model(images), labels)
    return losses.mean()


value_and_grad = noisescale.jax.grad_parts(loss_fn, PARTS)


@nnx.jit
def train_step(
    model: Network,
    optimizer: nnx.Optimizer[Network],
    images: jax.Array,
    labels: jax.Array,
    measure: noisescale.jax.Measure | None,
) -> tuple[jax.Array, noisescale.jax.PartSums]:
    loss, gradient, parts = value_and_grad(model, images, labels, measure=measure)
    optimizer.update(model, gradient)
    return loss, parts


def main() -> None:
    digits = load_digits()
    images, labels = jnp.asarray(digits.data / 16, jnp.float32), jnp.asarray(digits.target)
    model = Network(nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.05)), wrt=nnx.Param)
    draws = np.random.default_rng(1)

    watcher = noisescale.jax.watch(project="digits", optimizer="sgd", every=1, layers=True)
    for _ in range(STEPS):
        rows = draws.integers(0, len(images), BATCH)
        _, parts = train_step(model, optimizer, images[rows], labels[rows], watcher.measure)
        watcher.record(parts)
    watcher.close()
    if watcher.snapshot is not None:
        low, high = watcher.snapshot["b_simple_low"], watcher.snapshot["b_simple_high"]
        print(f"{watcher.measurements} measurements, B_simple {watcher.snapshot['b_simple']} ({low} to {high})")


if __name__ == "__main__":
    main()
