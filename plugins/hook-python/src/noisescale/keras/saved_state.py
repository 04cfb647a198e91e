"""Saves and loads an optimizer's state as if it had none of our variables."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras


def leave_out_when_saved(
    optimizer: keras.optimizers.Optimizer,
    own_variables: Callable[[], Sequence[keras.Variable]],
    holder: keras.optimizers.Optimizer,
) -> None:
    """Replaces what saves and loads an optimizer's state, once.

    Args:
        optimizer: The one that is saved.
        own_variables: What is left out.
        holder: Whose variables they are: this optimizer, or the one within it.
    """
    if "save_own_variables" in vars(optimizer):
        return

    @contextlib.contextmanager
    def left_out() -> Iterator[None]:
        own = {id(variable) for variable in own_variables()}
        kept = holder._variables
        every = kept[:]
        kept[:] = [variable for variable in every if id(variable) not in own]
        try:
            yield
        finally:
            kept[:] = every

    save, load = optimizer.save_own_variables, optimizer.load_own_variables

    def save_own_variables(store: Any) -> None:
        with left_out():
            save(store)

    def load_own_variables(store: Any) -> None:
        with left_out():
            load(store)

    vars(optimizer).update(save_own_variables=save_own_variables, load_own_variables=load_own_variables)
