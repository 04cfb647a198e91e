"""What processes that train together say to each other beside the device."""

from typing import Protocol

import jax

from noisescale.exchange import Exchange


def exchange_of_processes() -> Exchange | None:
    """Between the processes of `jax.distributed.initialize`, over the key-value store that they were made with.

    Returns:
        None for a process that trains alone, and where JAX has no such store: it is a private part of it.
    """
    if jax.process_count() == 1:
        return None
    try:
        from jax._src import distributed

        client = distributed.global_state.client
        if client is None:
            return None
        store = _KeyValueStore(client)
    except (ImportError, AttributeError):
        return None
    return Exchange(store, jax.process_index(), jax.process_count())


class _Client(Protocol):
    """What is used of `jaxlib`'s `DistributedRuntimeClient`."""

    def key_value_set(self, key: str, value: str, allow_overwrite: bool) -> None:
        """Sets a value."""

    def key_value_try_get(self, key: str) -> str:
        """Gets a value; raises where it is not there."""


class _KeyValueStore:
    """JAX's client as the `Store` of an exchange."""

    def __init__(self, client: _Client) -> None:
        self._set = client.key_value_set
        self._try_get = client.key_value_try_get

    def set(self, key: str, value: str, /) -> None:
        """Sets a value."""
        self._set(f"noisescale/{key}", value, True)

    def get(self, key: str, /) -> str:
        """Gets a value that is there."""
        return self._try_get(f"noisescale/{key}")

    def check(self, keys: list[str], /) -> bool:
        """Whether all the keys are there."""
        try:
            for key in keys:
                self.get(key)
        except jax.errors.JaxRuntimeError:
            return False
        return True
