"""The few numbers about the parts of a batch that leave the device."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

Tree = Any
"""A pytree of arrays."""

Mask = Tree | Callable[[Tree], Tree] | None
"""As optax.masked takes it: a pytree of bools, a prefix of the gradients' own, or a function that makes one of them."""


class Counts(NamedTuple):
    """Sums over the parts of a batch, as in `noisescale.parts.PartSums`; each of shape ().

    Attributes:
        parts: K; parts of weight 0 are none.
        units: Σ n_k.
        weight: W = Σ w_k.
        squared_weight: q = Σ w_k².
        variance: c = Σ w_k²/n_k [1/units].
    """

    parts: jax.Array
    units: jax.Array
    weight: jax.Array
    squared_weight: jax.Array
    variance: jax.Array

    @staticmethod
    def of(units: jax.Array, weights: jax.Array) -> "Counts":
        """Counts of some parts.

        Args:
            units: n_k, shape (...).
            weights: w_k, of the same shape.
        """
        there = weights != 0
        return Counts(
            parts=there.sum(dtype=jnp.float32),
            units=units.sum(),
            weight=weights.sum(),
            squared_weight=jnp.square(weights).sum(),
            variance=jnp.where(there, jnp.square(weights) / units, 0).sum(),
        )


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PartSums:
    """What the squared norms of a step's parts say, with h_k = w_k·(mean gradient of part k).

    A pytree of a few small arrays that `Watcher.record` takes. Of a step that is not measured it has `parts` = 0 alone:
    each array that a program returns takes time, 17 of them 3 % of a step of 4 ms.

    Attributes:
        step: Number of the optimizer step, shape (), int32; -1 where the watcher counts.
        counts: Of the parts.
        small: Σ_k |h_k|² of each parameter, shape (parameters,) [gradient²].
        big: |Σ_k h_k|² of each parameter, shape (parameters,); NaN where it is not known yet [gradient²].
        reference: `big` of all as it was seen elsewhere, shape (); NaN where it was not. The two must be equal.
        loss: Weighted mean loss of the parts, shape (); NaN where it is not known.
        metric: Σ_k hᵀPh and (Σh)ᵀP(Σh) in the metric P, shape (2,); NaN where there is none.
        hessian: Of the parts whose gradients were multiplied with the Hessian the counts, and vᵀHv of their sum under
            random signs and of their sum; shape (2,) the latter. NaN where there is none.
        names: Of the parameters: their paths, joined by dots.
        batch_norm: Whether batch normalisation couples the examples of a part.
    """

    step: jax.Array
    counts: Counts
    small: jax.Array
    big: jax.Array
    reference: jax.Array
    loss: jax.Array
    metric: jax.Array
    hessian: tuple[Counts, jax.Array]
    names: tuple[str, ...] = dataclasses.field(metadata={"static": True})
    batch_norm: bool = dataclasses.field(default=False, metadata={"static": True})

    @staticmethod
    def nothing(names: tuple[str, ...]) -> "PartSums":
        """Of no part."""
        zeros = Counts(*(jnp.zeros((), jnp.float32) for _ in Counts._fields))
        each, pair, unknown = (
            jnp.full(shape, value, jnp.float32) for shape, value in (((len(names),), 0), ((2,), jnp.nan), ((), jnp.nan))
        )
        return PartSums(jnp.full((), -1, jnp.int32), zeros, each, each, unknown, unknown, pair, (zeros, pair), names)

    @staticmethod
    def not_measured() -> "PartSums":
        """In place of the sums of a step that is not measured."""
        none: Tree = None
        counts = Counts(jnp.zeros((), jnp.float32), none, none, none, none)
        return PartSums(none, counts, none, none, none, none, none, none, names=())

    @property
    def parts(self) -> jax.Array:
        """K, shape ()."""
        return self.counts.parts

    @property
    def measured(self) -> bool:
        """Whether the step was measured."""
        return self.small is not None


def named_leaves(tree: Tree, mask: Mask = None) -> dict[str, jax.Array]:
    """The arrays of a pytree by the path that leads to them, joined by dots; without those that the mask leaves out."""
    if mask is not None:
        masks = mask(tree) if callable(mask) else mask
        tree = jax.tree.map(lambda kept, below: below if kept else None, masks, tree)
    named: dict[str, jax.Array] = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        name = ".".join(_words(path))
        # {"a.b": …} and {"a": {"b": …}} are the same words.
        while name in named:
            name += "'"
        named[name] = leaf
    return named


def squares(gradient: Tree, mask: Mask = None) -> jax.Array:
    """The squared norm of each parameter's gradient.

    One float32 sum is exact to about 1e-7 at 1e8 elements: XLA adds up in a tree.

    Args:
        gradient: A pytree.
        mask: Which of its leaves count.

    Returns:
        Shape (parameters,), in the order of the leaves; float32, or float64 where some gradient is [gradient²].
    """
    return squares_of(list(named_leaves(gradient, mask).values()))


def squares_of(leaves: Sequence[jax.Array]) -> jax.Array:
    """Squared norm of each array, shape (arrays,)."""
    return _stacked([jnp.square(jnp.abs(widened(leaf))).sum() for leaf in leaves])


def form_of(leaves: Sequence[jax.Array], metric: Sequence[jax.Array]) -> jax.Array:
    """gᵀPg with the diagonal P, shape ()."""
    each = [(p * jnp.square(jnp.abs(widened(leaf)))).sum() for leaf, p in zip(leaves, metric, strict=True)]
    return _stacked(each).sum()


def widened(leaf: jax.Array) -> jax.Array:
    """At least in float32."""
    return leaf.astype(jnp.promote_types(leaf.dtype, jnp.float32))


def part_sums(
    part_squares: jax.Array,
    gradient: Tree,
    units: jax.Array | float,
    weights: jax.Array | None = None,
    *,
    loss: jax.Array | float = float("nan"),
    mask: Mask = None,
) -> PartSums:
    """For a loop of one's own over K parts: from `squares` of each part's gradient, and the mean of the gradients.

    Args:
        part_squares: |g_k|² by parameter: `squares(g_k)`, stacked: shape (K, parameters) [gradient²].
        gradient: The parts' weighted mean Σ w_k·g_k / Σ w_k, before clipping.
        units: n_k, shape (K,), or () where all are equal.
        weights: w_k, shape (K,); all equal where it is left out.
        loss: Mean loss, shape (); only passed on.
        mask: As `squares` was given.
    """
    count = part_squares.shape[0]
    weights = jnp.ones(count) if weights is None else jnp.asarray(weights, jnp.float32)
    counts = Counts.of(jnp.broadcast_to(jnp.asarray(units, jnp.float32), (count,)), weights)
    leaves = named_leaves(gradient, mask)
    nothing = PartSums.nothing(tuple(leaves))
    return dataclasses.replace(
        nothing,
        counts=counts,
        small=jnp.where(weights[:, None] == 0, 0, jnp.square(weights)[:, None] * part_squares).sum(0),
        big=squares_of(list(leaves.values())) * jnp.square(counts.weight),
        loss=jnp.asarray(loss, jnp.float32),
    )


def _stacked(each: Sequence[jax.Array]) -> jax.Array:
    return jnp.stack(each) if each else jnp.zeros(0)


def _words(path: tuple[Any, ...]) -> list[str]:
    words = [str(getattr(key, "key", getattr(key, "name", getattr(key, "idx", key)))) for key in path]
    # A variable of flax nnx holds its array under this name.
    return words[:-1] if len(words) > 1 and getattr(path[-1], "name", None) == "value" else words
