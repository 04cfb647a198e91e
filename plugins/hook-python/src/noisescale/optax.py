"""Gradient transformations for optax that see the gradient before it is clipped, and change nothing in it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from noisescale.jax.sums import Counts, PartSums, Tree, named_leaves, part_sums, squares, squares_of, widened


class TapState(NamedTuple):
    """State of `tap`.

    Attributes:
        step: Number of the update that comes next, shape (), int32.
        last: Of the last one that was measured.
    """

    step: jax.Array
    last: PartSums


def tap(part_size: float | None = None, *, every: int = 1) -> optax.GradientTransformationExtraArgs:
    """Takes the big square from the gradient that passes: first in the chain, before clipping.

    `update` takes `small_sq=` of the parts: the `PartSums` of `noisescale.jax.grad_parts`, or `noisescale.jax.squares`
    of each part's gradient, shape (K, parameters), where all parts have `part_size` units. The gradient is the parts'
    mean. `Watcher.record` finds the numbers in the optimizer's state. Inside `optax.masked` what is masked does not
    count.

    Args:
        part_size: Units of a part, where `small_sq` does not say them.
        every: An update in so many takes squares.
    """

    def init(params: Tree) -> TapState:
        return TapState(jnp.zeros((), jnp.int32), PartSums.nothing(tuple(named_leaves(params))))

    def update(
        updates: Tree,
        state: TapState,
        params: Tree = None,
        *,
        small_sq: PartSums | jax.Array | None = None,
        **others: object,
    ) -> tuple[Tree, TapState]:
        def measured() -> PartSums:
            return _like(state.last, replace(_read(updates, small_sq, part_size), step=state.step))

        last = measured() if every == 1 else jax.lax.cond(state.step % every == 0, measured, lambda: state.last)
        return updates, TapState(state.step + 1, last)

    return optax.GradientTransformationExtraArgs(init, update)


class MultiStepsState(NamedTuple):
    """State of `multi_steps`.

    Attributes:
        counts: Of the micro-batches since the last step.
        small: Their squares, shape (parameters,) [gradient²].
        steps: Of `optax.MultiSteps`.
    """

    counts: Counts
    small: jax.Array
    steps: optax.MultiStepsState


def multi_steps(
    inner: optax.GradientTransformation,
    every_k_schedule: int | Callable[[Any], Any],
    part_size: float | None = None,
    *,
    use_grad_mean: bool = True,
    should_skip_update_fn: Callable[..., Any] | None = None,
    **options: Tree,
) -> optax.GradientTransformationExtraArgs:
    """Takes the place of `optax.MultiSteps`, whose micro-batches are the parts.

    The squares of the micro gradients are taken on their way in, that of their mean before `inner`. Each step has a
    measurement, in the optimizer's state for `Watcher.record`.

    Args:
        inner: The optimizer, with clipping where there is any.
        every_k_schedule: As `optax.MultiSteps` takes it.
        part_size: Units of a micro-batch; `update` takes `units=` where they differ.
        use_grad_mean: As `optax.MultiSteps` takes it.
        should_skip_update_fn: Likewise; what is skipped is no part.
        options: The rest of the options of `optax.MultiSteps`.
    """
    steps = optax.MultiSteps(
        optax.chain(tap(), inner),
        every_k_schedule,
        use_grad_mean=use_grad_mean,
        should_skip_update_fn=should_skip_update_fn,
        **options,
    )

    def init(params: Tree) -> MultiStepsState:
        nothing = PartSums.nothing(tuple(named_leaves(params)))
        return MultiStepsState(nothing.counts, nothing.small, steps.init(params))

    def update(
        updates: Tree,
        state: MultiStepsState,
        params: Tree = None,
        *,
        units: jax.Array | float | None = None,
        **others: Tree,
    ) -> tuple[Tree, MultiStepsState]:
        size = float("nan") if part_size is None else part_size
        one = Counts.of(jnp.asarray(size if units is None else units, jnp.float32), jnp.ones((), jnp.float32))
        so_far = (state.counts, state.small)
        counts, small = with_this = jax.tree.map(
            lambda sum_, x: sum_ + x.astype(sum_.dtype), so_far, (one, squares(updates))
        )
        # Of a sum of gradients, each is W times what it is of their mean.
        scale = 1.0 if use_grad_mean else jnp.square(counts.weight)
        nothing = PartSums.nothing(tuple(named_leaves(updates)))
        sums = replace(nothing, counts=counts, small=small * scale, big=jnp.full_like(small, jnp.nan))
        new_updates, after = steps.update(updates, state.steps, params, small_sq=sums, **others)
        stepped = after.gradient_step != state.steps.gradient_step
        counted = stepped | (after.mini_step != state.steps.mini_step)
        counts, small = jax.tree.map(
            lambda new, old: jnp.where(stepped, 0, jnp.where(counted, new, old)), with_this, so_far
        )
        return new_updates, MultiStepsState(counts, small, after)

    return optax.GradientTransformationExtraArgs(init, update)


def adam_metric(opt_state: Tree, *, b2: float = 0.999, eps: float = 1e-8, eps_root: float = 0.0) -> Tree:
    """The diagonal of Adam's metric P = 1/(√v̂ + ε), for the `metric` of a `grad_parts` function.

    v̂ is taken from before the step, so that P does not know the gradient that it measures. There is none on the first
    step: NaN, and nothing is reported.

    Args:
        opt_state: State with the second moments of `optax.scale_by_adam`, or an `nnx.Optimizer`.
        b2: As the optimizer's.
        eps: As the optimizer's.
        eps_root: As the optimizer's.

    Raises:
        ValueError: If there are no such moments in the state.
    """
    state = getattr(opt_state, "opt_state", opt_state)
    leaves = jax.tree.leaves(state, is_leaf=lambda node: isinstance(node, optax.ScaleByAdamState))
    found = next((leaf for leaf in leaves if isinstance(leaf, optax.ScaleByAdamState)), None)
    if found is None:
        raise ValueError("opt_state: has no second moments of optax.scale_by_adam")
    (count,) = jax.tree.leaves(found.count)
    correction = jnp.where(count > 0, 1 - b2 ** count.astype(jnp.float32), jnp.nan)
    return jax.tree.map(lambda v: 1 / (jnp.sqrt(widened(v) / correction + eps_root) + eps), found.nu)


def _read(updates: Tree, small_sq: PartSums | jax.Array | None, part_size: float | None) -> PartSums:
    leaves = named_leaves(updates)
    names = tuple(leaves)
    if small_sq is None:
        return part_sums(jnp.zeros((1, len(names))), updates, 1.0)
    if isinstance(small_sq, PartSums) and not small_sq.measured:
        return PartSums.nothing(names)
    if not isinstance(small_sq, PartSums):
        if small_sq.ndim != 2 or small_sq.shape[1] != len(names):
            raise ValueError(
                f"small_sq: has the shape {small_sq.shape}, not (parts, {len(names)}); stack noisescale.jax.squares of "
                "each part's gradient"
            )
        return part_sums(small_sq, updates, float("nan") if part_size is None else part_size)
    missing = next((name for name in names if name not in small_sq.names), None)
    if missing is not None:
        raise ValueError(f"small_sq: has no square of {missing}, which the updates have")
    places = jnp.asarray([small_sq.names.index(name) for name in names])
    return replace(
        small_sq,
        small=small_sq.small[places],
        big=squares_of(list(leaves.values())) * jnp.square(small_sq.counts.weight),
        reference=small_sq.big[places].sum(),
        names=names,
        batch_norm=False,
    )


def _like(before: PartSums, after: PartSums) -> PartSums:
    """In the types of the state, which must not change from step to step."""
    result: PartSums = jax.tree.map(lambda old, new: jnp.asarray(new, old.dtype), before, after)
    return result
