"""Quadratic forms of a loss's Hessian, by products with it."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from noisescale.jax.sums import Tree, widened


def hessian_form(loss: Callable[[Tree], jax.Array], params: Tree, vector: Tree) -> jax.Array:
    """vᵀHv, shape (): forward over reverse differentiation (Pearlmutter 1994), with the memory of one more gradient.

    Args:
        loss: Of the parameters, shape ().
        params: Where H is taken.
        vector: v, of the structure of the parameters.
    """
    direction = jax.tree.map(lambda v, p: v.astype(p.dtype), vector, params)
    product = jax.jvp(jax.grad(loss), (params,), (direction,))[1]
    pairs = zip(jax.tree.leaves(vector), jax.tree.leaves(product), strict=True)
    return jnp.stack([(v * widened(hv)).sum() for v, hv in pairs]).sum()
