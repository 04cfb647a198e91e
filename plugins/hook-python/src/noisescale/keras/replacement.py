"""Attributes of one object that are others for a while; its class stays what it was."""

from typing import Any


class Replacement:
    """Past the object's own `__setattr__`: Keras' looks for variables to keep, and PyTorch's for modules."""

    def __init__(self, of: object, **attributes: Any) -> None:
        """Changes nothing yet.

        Args:
            of: The object.
            attributes: What it is to have for a while.
        """
        self._own = vars(of)
        self._attributes = attributes
        self._before = {name: self._own[name] for name in attributes if name in self._own}

    def put(self) -> None:
        """Has the object have them."""
        self._own.update(self._attributes)

    def take_back(self) -> None:
        """Has it have what it had, but where somebody else has replaced what was put there."""
        for name, attribute in self._attributes.items():
            if self._own.get(name) is not attribute:
                continue
            if name in self._before:
                self._own[name] = self._before[name]
            else:
                del self._own[name]
