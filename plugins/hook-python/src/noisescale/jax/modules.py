"""A loss as a function of pytrees alone, whether it is given a pytree or a module of flax nnx."""

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from noisescale.jax.sums import Tree


class Functional(NamedTuple):
    """A loss without side effects.

    Attributes:
        loss: Of parameters, state and the list of arguments: the loss, and (auxiliary data, state after it).
        params: What is differentiated by.
        state: What else the loss changes; empty for a loss of pytrees.
        put_back: Takes the state after the last part.
        batch_norm: Whether batch normalisation in training mode is part of it.
    """

    loss: Callable[[Tree, Tree, list[Any]], tuple[Any, tuple[Any, Tree]]]
    params: Tree
    state: Tree
    put_back: Callable[[Tree], None]
    batch_norm: bool


def functional(
    loss_fn: Callable[..., Any], args: tuple[Any, ...], argnums: int | tuple[int, ...], has_aux: bool
) -> Functional:
    """Makes it of a loss and the arguments of one call."""
    if isinstance(argnums, int) and _is_module(args[argnums]):
        return _of_module(loss_fn, args[argnums], argnums, has_aux)

    def loss(params: Tree, state: Tree, given: list[Any]) -> tuple[Any, tuple[Any, Tree]]:
        places = (argnums,) if isinstance(argnums, int) else argnums
        for place, value in zip(places, (params,) if isinstance(argnums, int) else params, strict=True):
            given = [*given[:place], value, *given[place + 1 :]]
        value, aux = loss_fn(*given) if has_aux else (loss_fn(*given), ())
        return value, (aux, state)

    params = args[argnums] if isinstance(argnums, int) else tuple(args[place] for place in argnums)
    return Functional(loss, params, (), lambda state: None, batch_norm=False)


def _is_module(value: object) -> bool:
    nnx = sys.modules.get("flax.nnx")
    return nnx is not None and isinstance(value, nnx.Module)


def _of_module(loss_fn: Callable[..., Any], module: Tree, place: int, has_aux: bool) -> Functional:
    from flax import nnx

    graph, params, state = _split(module)

    def loss(params: Tree, state: Tree, given: list[Any]) -> tuple[Any, tuple[Any, Tree]]:
        # A variable may only be set in the trace that it was made in: they are made anew.
        of_part = nnx.merge(graph, *jax.tree.map(lambda x: x, (params, state)))
        given = [*given[:place], of_part, *given[place + 1 :]]
        value, aux = loss_fn(*given) if has_aux else (loss_fn(*given), ())
        return value, (aux, _split(of_part)[2])

    norms = (node for _, node in nnx.iter_graph(module) if isinstance(node, nnx.BatchNorm))
    in_training = any(not norm.use_running_average for norm in norms)
    return Functional(loss, params, state, lambda after: nnx.update(module, after), in_training)


def _split(module: Tree) -> tuple[Any, Tree, Tree]:
    """The graph, the parameters, and all other state."""
    from flax import nnx

    graph, *states = nnx.split(module, nnx.Param, ...)
    params, state = states
    return graph, params, state
