"""CPU time of measured steps over plain ones, on one thread, in turns: what the JAX hook costs.

XLA_FLAGS=--xla_cpu_multi_thread_eigen=false PYTHONPATH=plugins/hook-python/src taskset -c 0 \
  .cache/venv-python-hook/bin/python test/bench/hook_jax.py

An MLP 784-512-512-10 with SGD, 256 rows. Turns and table are those of hook_python.py; each step that is timed comes after
one of its own kind, since what another kind leaves in the caches is a hundredth of the time.

accumulation   K = 8 parts in a `lax.scan`; plain is the same loop without the hook
one batch      a measured step takes 8 parts, the others the batch in one piece; plain is `jax.value_and_grad`
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import noisescale
import numpy as np
import optax
from hook_python import mixed_rows, turns
from noisescale.jax import grad_parts
from noisescale.jax.sums import Tree

PARTS, ROWS, TURNS = 8, 256, 800
SIZES = (784, 512, 512, 10)
DRAWS = np.random.default_rng(0)
IMAGES = jnp.asarray(DRAWS.normal(size=(ROWS, SIZES[0])), jnp.float32)
LABELS = jnp.asarray(DRAWS.integers(0, SIZES[-1], ROWS))
OPTIMIZER = optax.sgd(1e-3)


def network() -> Tree:
    pairs = zip(SIZES[:-1], SIZES[1:], strict=True)
    return [(jnp.asarray(DRAWS.normal(size=(i, o)) / i**0.5, jnp.float32), jnp.zeros(o)) for i, o in pairs]


def loss(params: Tree, x: jax.Array, y: jax.Array) -> jax.Array:
    for kernel, bias in params[:-1]:
        x = jax.nn.relu(x @ kernel + bias)
    return optax.softmax_cross_entropy_with_integer_labels(x @ params[-1][0] + params[-1][1], y).mean()


def accumulated(params: Tree, x: jax.Array, y: jax.Array) -> tuple[jax.Array, Tree]:
    def body(sums: Tree, part: Tree) -> tuple[Tree, None]:
        return jax.tree.map(jnp.add, sums, jax.value_and_grad(loss)(params, *part)), None

    parts = jax.tree.map(lambda a: a.reshape(PARTS, -1, *a.shape[1:]), (x, y))
    sums, _ = jax.lax.scan(body, (jnp.zeros(()), jax.tree.map(jnp.zeros_like, params)), parts)
    return jax.tree.map(lambda a: a / PARTS, sums)


def step_of(gradient_of: Callable[..., Tree], every: int | None) -> tuple[Callable[[], object], noisescale.jax.Watcher]:
    """A step that is done when it returns; without the hook where `every` is 0."""
    watcher = noisescale.jax.watch(every=every or None, sink=lambda _: None, enabled=every != 0)

    @jax.jit
    def update(params: Tree, measure: Tree) -> tuple[Tree, Tree]:
        if every == 0:
            (_, gradient), parts = gradient_of(params, IMAGES, LABELS), None
        else:
            _, gradient, parts = gradient_of(params, IMAGES, LABELS, measure=measure)
        return optax.apply_updates(params, OPTIMIZER.update(gradient, OPTIMIZER.init(params))[0]), parts

    params = network()

    def step() -> None:
        nonlocal params
        params, parts = update(params, watcher.measure)
        jax.block_until_ready(params)
        if every != 0:
            watcher.record(parts)

    return step, watcher


def main() -> None:
    print("| model | steps | ratio | its 95 % interval | quartiles of the turns | turns |\n|---|---|---|---|---|---|")
    for name, plain, watched in (
        ("accumulation", accumulated, grad_parts(loss, PARTS)),
        ("one batch", jax.value_and_grad(loss), grad_parts(loss, PARTS, whole=True)),
    ):
        choosing, watcher = step_of(watched, None)
        for _ in range(81):
            choosing()
        never, _ = step_of(watched, 10**9)
        steps = {"plain": step_of(plain, 0)[0], "not measured": never, "every step": step_of(watched, 1)[0]}
        mixed_rows("mlp", name, turns(steps, TURNS, before=steps), watcher.every)


if __name__ == "__main__":
    main()
